"""The lexical index: what it finds, what a change leaves, and what happens to damaged files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from resift.lexical.index import MOST_TERMS, LexicalIndex, LexicalIndexError, record_key

TEXTS = {"whale": "a blue whale", "bus": "a red bus", "fox": "the red fox, the fox"}


@pytest.fixture(params=["memory", "disk"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> LexicalIndex:
    index = LexicalIndex(tmp_path / "index" if request.param == "disk" else None)
    index.change(TEXTS.items(), [])
    return index


def found(index: LexicalIndex, query: str, limit: int = 10, among: list[str] | None = None) -> list[str]:
    return [hit.id for hit in index.search(query, limit, among)]


def test_the_best_come_first_and_only_what_shares_a_term(index: LexicalIndex) -> None:
    assert found(index, "Red FOX?") == ["fox", "bus"]
    assert found(index, "red fox", 1) == ["fox"]
    assert found(index, "zebra") == found(index, "?!") == found(index, "") == []
    assert found(LexicalIndex(), "fox") == []


def test_only_among_some(index: LexicalIndex) -> None:
    assert found(index, "red fox", among=["bus", "whale", "gone"]) == ["bus"]
    assert found(index, "red fox", among=[]) == []


def test_a_change_adds_replaces_and_removes_in_one(index: LexicalIndex) -> None:
    replaced = [record_key("fox", TEXTS["fox"]), record_key("whale", TEXTS["whale"])]
    index.change([("fox", "a grey wolf")], replaced)
    assert found(index, "fox") == found(index, "whale") == []
    assert found(index, "wolf") == ["fox"]
    assert len(index) == 2
    assert index.keys() == {record_key("fox", "a grey wolf"), record_key("bus", TEXTS["bus"])}
    assert index.has(index.keys())
    assert not index.has(replaced)


def test_a_change_that_fails_leaves_all_as_it_was(index: LexicalIndex) -> None:
    def records() -> object:
        yield "new", "a zebra"
        raise KeyError

    with pytest.raises(KeyError):
        index.change(records(), index.keys())  # type: ignore[arg-type]
    assert sorted(found(index, "red")) == ["bus", "fox"]
    assert found(index, "zebra") == []
    index.change([("new", "a zebra")], [])
    assert found(index, "zebra") == ["new"]


def test_equal_ones_come_by_their_ids_however_they_were_added() -> None:
    ids = [f"{number:03}" for number in range(200)]
    for seed in range(3):
        index = LexicalIndex()
        order = random.Random(seed).sample(ids, len(ids))
        index.change(((id, "the same words") for id in order), [])
        assert found(index, "same", 5) == ids[:5]


def test_a_page_of_text_as_a_query_goes_by_its_rarest_terms(index: LexicalIndex) -> None:
    index.change(((f"n{number}", f"common w{number}") for number in range(2 * MOST_TERMS)), [])
    everything = " ".join(["common", *(f"w{number}" for number in range(2 * MOST_TERMS)), "fox"])
    assert len(found(index, everything, 1000)) == MOST_TERMS


def test_another_process_s_changes_are_seen(tmp_path: Path) -> None:
    writer, reader = LexicalIndex(tmp_path), LexicalIndex(tmp_path)
    assert found(reader, "fox") == []
    writer.change(TEXTS.items(), [])
    assert found(reader, "fox") == ["fox"]


@pytest.mark.parametrize("how", ["cut", "empty", "other terms"])
def test_damaged_files_are_one_error(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    LexicalIndex(tmp_path).change(TEXTS.items(), [])
    if how == "other terms":
        monkeypatch.setattr("resift.lexical.index.TERMS_FIELD", "terms99")
        with pytest.raises(LexicalIndexError, match=f"{tmp_path} can't be used"):
            LexicalIndex(tmp_path)
        return
    for file in sorted(tmp_path.iterdir()):
        if not (data := file.read_bytes()) or file.name.startswith("."):
            continue
        file.write_bytes(data[: len(data) // 2] if how == "cut" else b"")
        with pytest.raises(LexicalIndexError):
            found(LexicalIndex(tmp_path), "fox")
        file.write_bytes(data)
    assert found(LexicalIndex(tmp_path), "fox") == ["fox"]


def test_a_common_term_counts_only_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resift.lexical.index.FEW", 10)
    index = LexicalIndex()
    index.change(
        ((f"{number:02}", f"a passage on {'foxes' if number % 10 == 0 else 'pandas'}") for number in range(20)), []
    )
    assert found(index, "foxes on a passage", 20) == ["00", "10"]
    assert len(found(index, "on a", 20)) == 20
    monkeypatch.setattr("resift.lexical.index.FEW", 1000)
    assert len(found(index, "foxes on a passage", 20)) == 20
