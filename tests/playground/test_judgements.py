"""Marks on disk: what `resift eval` and `resift train` read, also after a restart, a kill, or a change of mind."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from resift import InputError, Passage
from resift.cli.app import app
from resift.evaluation import read_collection
from resift.evaluation.runs import read_run
from resift.playground import judgements as module
from resift.playground.judgements import CANDIDATES, FILES, PAIRS, RIGHT, WRONG, Judgements, commands
from resift.training.pairs import read_pairs

QUESTION = "what eats bamboo?"
TEXTS = {"a": "Pandas eat bamboo.", "b": "Bamboo is a grass.", "c": "Stocks fell.", "d": "Bamboo is a grass."}
FOUND = [Passage(text, id, {"path": f"{id}.md"}) for id, text in TEXTS.items()]


def judgements(folder: Path) -> Judgements:
    return Judgements(folder / "marks", "zoo")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_marks_of_the_page_are_evaluated_and_trained_on(client: TestClient, tmp_path: Path) -> None:
    def mark(query: str, place: int, given: str | None) -> dict[str, Any]:
        asked = {"query": query, "model": "resift:small", "candidates": 20}
        hits = client.post("/api/search", json=asked).json()["hits"]
        response = client.post("/api/mark", json={**asked, "id": hits[place]["id"], "mark": given})
        assert response.status_code == 200, response.text
        return {**response.json(), "hit": hits[place]}

    first = mark(QUESTION, 0, "right")
    mark(QUESTION, 1, "wrong")
    last = mark("what do koalas eat?", 0, "right")
    folder = tmp_path / "judgements"
    judged = last["judgements"]
    assert (judged["folder"], judged["right"], judged["wrong"]) == (str(folder), 2, 1)
    assert [question["query"] for question in judged["questions"]] == ["what do koalas eat?", QUESTION]

    result = CliRunner().invoke(app, [*shlex.split(judged["commands"]["eval"])[1:], "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["queries"] == 2
    reranked = next(row for row in report["evaluations"] if row["name"] == "resift:small")
    assert reranked["metrics"]["nDCG@10"] == pytest.approx(1.0)

    pairs = read_pairs([folder / PAIRS])
    assert {(pair.query, len(pair.negatives)) for pair in pairs} == {(QUESTION, 1), ("what do koalas eat?", 0)}
    assert "bamboo" in pairs[0].positive
    assert str(folder / PAIRS) in judged["commands"]["train"]

    shown = client.post("/api/search", json={"query": QUESTION, "model": "resift:tiny", "candidates": 20}).json()
    marks = {hit["id"]: hit["mark"] for hit in shown["hits"]}
    assert marks[first["hit"]["id"]] == "right"
    assert sorted(mark or "" for mark in marks.values()) == [""] * (len(marks) - 2) + ["right", "wrong"]

    archive = client.get("/api/export.zip")
    assert archive.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        assert sorted(opened.namelist()) == sorted(FILES)
        opened.extractall(tmp_path / "unpacked")
    assert read_collection(tmp_path / "unpacked").queries == read_collection(folder).queries


def test_the_files_are_a_collection_with_its_first_stage(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[0], RIGHT, FOUND)
    marks.mark(QUESTION, FOUND[2], WRONG, FOUND)
    collection = read_collection(marks.folder)
    (query,) = collection.queries
    assert dict(collection.documents) == {"a": TEXTS["a"], "b": TEXTS["b"], "c": TEXTS["c"]}
    assert collection.qrels == {query: {"a": 1, "c": 0}}
    assert collection.notes == ()
    assert read_run(marks.folder / CANDIDATES, collection)[query] == ["a", "b", "c"]
    assert rows(marks.folder / PAIRS) == [{"query": QUESTION, "positive": TEXTS["a"], "negatives": [TEXTS["c"]]}]
    assert rows(marks.folder / "corpus.jsonl")[0]["metadata"] == {"path": "a.md"}


def test_passages_of_equal_text_share_a_mark_so_that_training_has_no_contradiction(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[1], RIGHT, FOUND)
    assert marks.grades(QUESTION, TEXTS.values()) == [None, RIGHT, None, RIGHT]
    marks.mark(QUESTION, FOUND[3], WRONG, FOUND)
    assert marks.grades(QUESTION, TEXTS.values()) == [None, WRONG, None, WRONG]
    marks.mark(QUESTION, FOUND[0], RIGHT, FOUND)
    assert [pair.negatives for pair in read_pairs([marks.folder / PAIRS])] == [(TEXTS["b"],)]


def test_marks_survive_a_restart_and_can_be_taken_back(tmp_path: Path) -> None:
    judgements(tmp_path).mark(QUESTION, FOUND[0], RIGHT, FOUND)
    judgements(tmp_path).mark("what fell?", FOUND[2], RIGHT, FOUND[2:3])
    again = judgements(tmp_path)
    assert again.grades(QUESTION, [TEXTS["a"], TEXTS["b"]]) == [RIGHT, None]
    again.mark(QUESTION, FOUND[0], None, FOUND)
    assert list(read_collection(again.folder).documents) == ["c"]  # nothing else is left of what was taken back
    assert [question["query"] for question in judgements(tmp_path).questions()] == ["what fell?"]
    again.mark("what fell?", FOUND[2], None, FOUND)
    assert judgements(tmp_path).questions() == []
    again.mark("what fell?", FOUND[2], RIGHT, FOUND)
    assert judgements(tmp_path).questions() == [{"query": "what fell?", "right": 1, "wrong": 0}]


def test_a_question_with_wrong_passages_alone_is_kept(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[2], WRONG, FOUND)
    assert judgements(tmp_path).questions() == [{"query": QUESTION, "right": 0, "wrong": 1}]
    assert rows(marks.folder / PAIRS) == []
    marks.mark("what fell?", FOUND[2], RIGHT, FOUND)
    assert list(read_collection(marks.folder).queries.values()) == ["what fell?"]


def test_a_passage_that_was_edited_is_another_document(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[0], RIGHT, FOUND)
    edited = Passage("Pandas eat bamboo, and little else.", "a")
    assert marks.grades(QUESTION, [edited.text]) == [None]
    marks.mark(QUESTION, edited, WRONG, [edited, *FOUND[1:]])
    assert marks.grades(QUESTION, [edited.text, TEXTS["a"]]) == [WRONG, RIGHT]
    assert len(read_collection(marks.folder).documents) == 4


@pytest.mark.parametrize(
    "id", ["with\ttab", "line\nbreak", "a b", '"quoted"', "", "ü", "x" * 500, "\u2028", "score", "\ud800"]
)
def test_any_id_and_any_letters(tmp_path: Path, id: str) -> None:
    query = 'query-id\tcorpus-id\tscore\n"\u2028 \ud835 🐼'
    found = [Passage(f"{name} \ud835\udc00 \u2028 \x85 <b>\t{name}", f"{id}{name}") for name in ("", "2", "3")]
    marks = judgements(tmp_path)
    for passage, grade in zip(found, (RIGHT, WRONG, RIGHT), strict=True):
        marks.mark(query, passage, grade, found)
    collection = read_collection(marks.folder)
    assert len(collection.documents) == 3
    assert [sorted(grades.values()) for grades in collection.qrels.values()] == [[0, 1, 1]]
    assert len(read_run(marks.folder / CANDIDATES, collection)) == 1
    assert len(read_pairs([marks.folder / PAIRS])) == 2
    assert judgements(tmp_path).grades(query, [each.text for each in found]) == [RIGHT, WRONG, RIGHT]


def test_texts_without_anything_are_refused_and_left_out(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    for query, passage in [(" ", FOUND[0]), (QUESTION, Passage("\u200b\n", "e"))]:
        with pytest.raises(InputError, match="without text"):
            marks.mark(query, passage, RIGHT, FOUND)
    marks.mark(QUESTION, FOUND[0], RIGHT, [Passage("  ", "e"), *FOUND])
    assert read_collection(marks.folder).notes == ()


def test_a_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / "corpus.jsonl").write_text('{"_id": "1", "text": "mine"}\n')
    with pytest.raises(InputError, match="didn't write"):
        judgements(tmp_path)
    assert (tmp_path / "marks" / "corpus.jsonl").read_text() == '{"_id": "1", "text": "mine"}\n'


def test_what_a_person_adds_to_the_files_is_kept(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[0], RIGHT, FOUND)
    qrels = marks.folder / "qrels.tsv"
    qrels.write_text(qrels.read_text().replace("\ta\t1", "\ta\t3"))
    marks.mark(QUESTION, FOUND[1], RIGHT, FOUND)
    assert [grades["a"] for grades in read_collection(marks.folder).qrels.values()] == [3]


def test_marks_are_not_lost_with_the_files_that_are_made_of_them(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[0], RIGHT, FOUND)
    for name in (CANDIDATES, PAIRS):
        (marks.folder / name).unlink()
    assert zipfile.ZipFile(io.BytesIO(judgements(tmp_path).as_zip())).namelist() == list(FILES[:3])
    judgements(tmp_path).mark("what fell?", FOUND[2], RIGHT, FOUND[2:3])
    assert len(read_collection(marks.folder).queries) == 2
    assert len(read_pairs([marks.folder / PAIRS])) == 2


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("corpus.jsonl", None, "judges 1 documents"),
        ("corpus.jsonl", '{"_id": "a", "title": "no text"}', "judges 1 documents"),
        ("queries.jsonl", None, "judges 1 questions"),
        ("queries.jsonl", "", "judges 1 questions"),
        ("playground.json", None, "playground.json is gone"),
        ("corpus.jsonl", "{", "corpus.jsonl:1"),
        ("queries.jsonl", '{"text": "no id"}', "queries.jsonl:1"),
        ("qrels.tsv", "one two\n", "qrels.tsv:1"),
        (CANDIDATES, '{"qid": "q", "docids": "a"}', "docids is a list"),
    ],
)
def test_files_that_can_not_be_read_are_not_replaced(
    tmp_path: Path, name: str, content: str | None, problem: str
) -> None:
    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[0], RIGHT, FOUND)
    before = {file: (marks.folder / file).read_bytes() for file in FILES if file != name}
    (marks.folder / name).unlink()
    if content is not None:
        (marks.folder / name).write_text(content)
    for attempt in (lambda: judgements(tmp_path), lambda: marks.mark(QUESTION, FOUND[1], RIGHT, FOUND)):
        with pytest.raises(InputError, match=problem):
            attempt()
    assert {file: (marks.folder / file).read_bytes() for file in before} == before


@pytest.mark.parametrize("undo", [False, True])
def test_a_process_that_is_killed_between_two_files_leaves_a_readable_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undo: bool
) -> None:
    class KilledError(Exception):
        """Stands for a kill."""

    marks = judgements(tmp_path)
    marks.mark(QUESTION, FOUND[0], RIGHT, FOUND[:1])
    marks.mark("what fell?", FOUND[2], RIGHT, FOUND[2:3])
    write = module._write_text
    for survived in range(8):
        left = [survived]

        def write_or_die(path: Path, text: str, left: list[int] = left) -> None:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            write(path, text)

        monkeypatch.setattr(module, "_write_text", write_or_die)
        change: Callable[[], None] = (
            (lambda: judgements(tmp_path).mark(QUESTION, FOUND[0], None, FOUND))
            if undo
            else (lambda: judgements(tmp_path).mark("what is a grass?", FOUND[1], RIGHT, FOUND))
        )
        with contextlib.suppress(KilledError):
            change()
        monkeypatch.setattr(module, "_write_text", write)
        collection = read_collection(tmp_path / "marks")
        assert "what fell?" in collection.queries.values()
        assert not [note for note in collection.notes if "not in" in note]
        read_run(tmp_path / "marks" / CANDIDATES, collection)
        assert read_pairs([tmp_path / "marks" / PAIRS])
        judgements(tmp_path)


def test_two_playgrounds_in_one_folder_lose_no_mark(tmp_path: Path) -> None:
    def mark_all(own: str) -> None:
        each = judgements(tmp_path)
        for number in range(6):
            each.mark(f"{own} {number}?", FOUND[0], RIGHT, FOUND)

    threads = [threading.Thread(target=mark_all, args=(own,)) for own in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(read_collection(tmp_path / "marks").queries) == 12
    assert not list((tmp_path / "marks").glob(".*"))  # no temporary file and no lock is left


def test_export_of_nothing_says_what_to_do(client: TestClient, tmp_path: Path) -> None:
    response = client.get("/api/export.zip")
    assert response.status_code == 400
    assert "mark a passage" in response.json()["error"]
    assert not (tmp_path / "judgements").exists()


def test_commands_name_the_folder_as_a_shell_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    for line in commands(folder).values():
        assert [word for word in shlex.split(line) if word.startswith(str(folder))]


def test_a_file_in_the_place_of_the_folder_is_refused_before_and_meanwhile(tmp_path: Path) -> None:
    marks = judgements(tmp_path)
    (tmp_path / "marks").write_text("mine")
    for attempt in (lambda: judgements(tmp_path), lambda: marks.mark(QUESTION, FOUND[0], RIGHT, FOUND)):
        with pytest.raises(InputError, match="is a file: give a folder"):
            attempt()
    assert (tmp_path / "marks").read_text() == "mine"
