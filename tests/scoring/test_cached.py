"""Kept scores: the same as computed ones, of this model and no other, whatever becomes of the file."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import Cached, InputError, Reranker, Scale, ScorerError, load_scorer
from resift.llm import LlmScorer
from resift.scorer import Request, Scores, Span, Usage
from resift.scoring.cache_stores import SCORE_ENTRY_BYTES, MemoryStore
from resift.scoring.cached import _join_with_lengths
from resift.testing import OverlapScorer, check_scorer

TEXTS = ["a red fox", "a whale", "red wine", ""]


@dataclass(eq=False)
class Counting:
    """The length of a text is its score; lists what it has scored."""

    identity: str | None = "counting 1"
    name: str = "counting"
    scale: Scale = Scale.LOGIT
    scored: list[str] = field(default_factory=list)
    degraded: str | None = None

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        self.scored += documents
        spans = {0: Span(1, 2, truncated=True)} if documents and documents[0] == "a whale" else {}
        values = tuple(float(len(text)) for text in documents)
        return Scores(values, Usage(pairs=len(documents)), spans, self.degraded)


@pytest.fixture(params=["memory", "disk"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "scores.sqlite" if request.param == "disk" else None


def test_what_is_known_is_not_asked_again(path: Path | None) -> None:
    scorer = Counting()
    cached = Cached(scorer, path)
    first = cached.score("q", ["a whale", "a red fox"])
    second = cached.score("q", ["a whale", "red wine", "a red fox", "red wine"])
    assert scorer.scored == ["a whale", "a red fox", "red wine"]
    assert list(second) == [7, 8, 9, 8]
    assert first.spans == second.spans == {0: Span(1, 2, truncated=True)}
    assert (first.usage.cache_hits, second.usage.cache_hits, second.usage.pairs) == (0, 2, 1)
    assert cached.score("another", ["a whale"]).usage.cache_hits == 0
    first_answer, second_answer = cached.score_many([Request("q", ["a whale", "new"]), Request("another", ["a whale"])])
    assert (first_answer.usage.cache_hits, second_answer.usage.cache_hits) == (1, 1)


def test_a_file_serves_other_objects_and_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    Cached(Counting(), path).score("q", TEXTS)
    again = Counting()
    assert list(Cached(again, path).score("q", TEXTS)) == [9, 7, 8, 0]
    assert again.scored == []
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        hits = pool.apply(_hits, (pickle.dumps(Cached(OverlapScorer2(), path)),))
    assert hits == [0, len(TEXTS)]
    assert Cached(OverlapScorer2(), path).score("q", TEXTS).usage.cache_hits == len(TEXTS)
    assert "fox" not in path.read_bytes().decode("latin-1"), "digests, no texts"


class OverlapScorer2(Counting):
    """Another model."""

    def __init__(self) -> None:
        super().__init__(identity="another")


def _hits(pickled: bytes) -> list[int]:
    cached = pickle.loads(pickled)
    return [cached.score("q", TEXTS).usage.cache_hits for _ in range(2)]


@pytest.mark.parametrize("change", ["weights", "max_length", "long_documents"])
def test_a_changed_model_never_meets_old_scores(change: str, exported: Callable[[str], Path], tmp_path: Path) -> None:
    from resift.models.manifest import Manifest

    folder = Path(shutil.copytree(exported("bert-small"), tmp_path / "model"))
    path = tmp_path / "scores.sqlite"
    before = Cached(load_scorer(folder), path)
    before.score("what eats bamboo?", TEXTS)
    options: dict[str, object] = {"max_length": 64} if change == "max_length" else {}
    options |= {"long_documents": "max_window"} if change == "long_documents" else {}
    if change == "weights":
        graph = folder / "model.onnx"
        graph.write_bytes(graph.read_bytes() + b"\x28\x07")  # model_version = 7: another file, still a graph
        manifest = Manifest.peek(folder)
        manifest.write(folder, manifest.files)
    after = Cached(load_scorer(folder, **options), path)  # type: ignore[arg-type]
    assert after.score("what eats bamboo?", TEXTS).usage.cache_hits == 0
    assert after.identity != before.identity
    again = Cached(load_scorer(folder, **options), path)  # type: ignore[arg-type]
    assert again.score("what eats bamboo?", TEXTS).usage.cache_hits == len(TEXTS)


def test_an_engine_without_a_manifest_is_told_by_its_files(saved: Callable[[str], Path]) -> None:
    scorer = load_scorer(f"st:{saved('bert-small')}")
    assert scorer.identity == load_scorer(f"st:{saved('bert-small')}").identity  # type: ignore[attr-defined]
    assert "float32 cpu" in scorer.identity  # type: ignore[attr-defined]


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_query_and_text_are_kept_apart(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert (_join_with_lengths(*first) == _join_with_lengths(*second)) is (first == second)
    cached = Cached(Counting())
    cached.score(first[0] + "x", [first[1]])
    assert cached.score(first[0], ["x" + first[1]]).usage.cache_hits == 0


def test_memory_is_bounded_and_keeps_what_was_used_last() -> None:
    store = MemoryStore(3 * SCORE_ENTRY_BYTES + 5)
    store.put({b"a": b"1", b"b": b"2", b"c": b"3"})
    store.get([b"a"])
    store.put({b"d": b"4"})
    assert store.get([b"a", b"b", b"c", b"d"]) == {b"a": b"1", b"c": b"3", b"d": b"4"}
    scorer = Counting()
    none = Cached(scorer, memory_bytes=0)
    assert [list(none.score("q", TEXTS)) for _ in range(2)] == [[9, 7, 8, 0]] * 2
    assert len(scorer.scored) == 2 * len(TEXTS)


@pytest.mark.parametrize("damage", ["no database", "another database", "cut", "no folder", "a wrong value"])
def test_whatever_becomes_of_the_file_scores_are_right_and_it_is_said(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scores.sqlite"
    if damage == "no folder":
        path = tmp_path / "nowhere" / "scores.sqlite"
    elif damage == "no database":
        path.write_bytes(b"a shopping list" * 1000)
    elif damage == "another database":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE mine (x)")
        other.close()
    else:
        first = Cached(Counting(), path)
        first.score("q", TEXTS)
        first.close()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    if damage == "a wrong value":
        with sqlite3.connect(path) as changed:
            changed.execute("UPDATE scores SET value = zeroblob(25)")
        changed.close()
    scorer = Counting()
    for _ in range(2):
        assert list(Cached(scorer, path, memory_bytes=0).score("q", TEXTS)) == [9, 7, 8, 0]
    if damage == "a wrong value":
        assert scorer.scored == TEXTS, "its checksum was wrong: computed again, and kept"
    else:
        assert len(scorer.scored) == 2 * len(TEXTS)
        assert "scores are computed without the cache" in caplog.text
    if damage == "another database":
        check = sqlite3.connect(path)
        assert [name for (name,) in check.execute("SELECT name FROM sqlite_master")] == ["mine"]
        check.close()


def test_a_locked_file_costs_a_moment_not_the_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resift.scoring.cache_stores.WAIT_SECONDS", 0.01)
    monkeypatch.setattr("resift._util.sqlite.RETRY_SECONDS", 0.0)
    path = tmp_path / "scores.sqlite"
    cached = Cached(Counting(), path, memory_bytes=0)
    cached.score("q", TEXTS[:1])
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with caplog.at_level(logging.WARNING):
        assert list(cached.score("q", TEXTS)) == [9, 7, 8, 0]
    assert "database is locked" in caplog.text
    lock.execute("ROLLBACK")
    lock.close()
    cached.score("q", TEXTS)
    assert cached.score("q", TEXTS).usage.cache_hits == 4, "a lock passes"


def test_the_file_is_bounded_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resift.scoring.cache_stores.MAX_FILE_BYTES", 100_000)
    cached = Cached(Counting(), tmp_path / "scores.sqlite", memory_bytes=0)
    for number in range(30):
        cached.score(f"query {number}", [f"text {text}" for text in range(100)])
    cached.close()
    assert (tmp_path / "scores.sqlite").stat().st_size < 200_000
    fresh = Cached(Counting(), tmp_path / "scores.sqlite")
    assert fresh.score("query 29", ["text 1"]).usage.cache_hits == 1
    assert fresh.score("query 0", ["text 1"]).usage.cache_hits == 0


async def test_a_service_is_still_awaited(tmp_path: Path) -> None:
    class Service(Counting):
        async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
            return super().score(query, documents)

        def score(self, query: str, documents: Sequence[str]) -> Scores:
            raise AssertionError("the async form was there")

    service = Service()
    reranker = Reranker(service, cache=tmp_path / "scores.sqlite")
    hits = [(await reranker.arank("q", TEXTS)).stats.cache_hits for _ in range(2)]
    assert hits == [0, 4]
    assert service.scored == TEXTS


def test_scores_that_must_not_be_kept_are_not(path: Path | None) -> None:
    scorer = Counting(degraded="half an answer")
    cached = Cached(scorer, path)
    assert [cached.score("q", TEXTS).usage.cache_hits for _ in range(2)] == [0, 0]
    assert Reranker(cached).rank("q", TEXTS).degraded == "half an answer"
    with pytest.raises(InputError, match="overlap has no identity"):
        Cached(OverlapScorer())
    with pytest.raises(InputError, match="orders a list as a whole"):
        Cached(Counting(scale=Scale.ORDINAL))
    broken = Counting()
    broken.score = lambda query, documents: [float("nan")] * len(documents)  # type: ignore[method-assign, assignment]
    for _ in range(2):
        with pytest.raises(ScorerError, match="4 of 4 scores are not finite"):
            Reranker(Cached(broken, path)).rank("q", TEXTS)


def test_a_reranker_remembers_and_keeps_the_contract(tmp_path: Path, bundled: Reranker) -> None:
    with Reranker(cache=":memory:", long_documents="max_window") as reranker:
        first, second = (reranker.rank("red fox", TEXTS) for _ in range(2))
        assert first.hits == second.hits == bundled.rank("red fox", TEXTS).hits
        assert (first.stats.cache_hits, second.stats.cache_hits, second.stats.pairs) == (0, 4, 0)
        check_scorer(reranker.scorer)
    assert not list(tmp_path.iterdir())


def test_a_service_is_told_why_its_scores_are_not_kept_and_what_can_be_done(tmp_path: Path) -> None:
    reason = "scores of .* are not kept: nothing tells when the model behind the name of a service changes.*wrap it"
    for make in (
        lambda: Reranker("cohere:rerank-v3.5", cache=tmp_path / "scores.sqlite", api_key="none"),
        lambda: Cached(LlmScorer(lambda prompt: "[1]", method="pointwise")),
    ):
        with pytest.raises(InputError, match=reason) as error:
            make()
        assert "give it" not in str(error.value), "neither a name nor a service's scorer can be given anything"


def test_what_is_advised_can_be_followed(tmp_path: Path) -> None:
    class Wrapped:
        identity = "the model of June"

        def __init__(self, scorer: LlmScorer) -> None:
            self.scorer, self.name, self.scale = scorer, scorer.name, scorer.scale

        def score(self, query: str, documents: Sequence[str]) -> Sequence[float]:
            return self.scorer.score(query, documents)

    cached = Cached(Wrapped(LlmScorer(lambda prompt: "7", method="pointwise")), tmp_path / "scores.sqlite")
    assert [cached.score("q", TEXTS).usage.cache_hits for _ in range(2)] == [0, len(TEXTS)]
