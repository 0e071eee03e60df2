"""From an indexed folder to figures: answers by path, heading or sentence, headings as questions, an LLM as judge."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from build_once import BuildOnce
from chat_server import Reply, completion, serving
from typer.testing import CliRunner

from resift import InputError, Reranker, ScorerError
from resift.cli.app import app
from resift.evaluation import (
    Collection,
    IndexedPassages,
    LlmJudge,
    evaluate,
    heading_questions,
    read_answers,
    read_questions,
)
from resift.evaluation.judge import Cost, level
from resift.llm import LlmScorer
from resift.search.collections import open_collection
from resift.testing import OverlapScorer

FILES = {
    "animals.md": "# Animals of the forest\n\n## What the fox hunts\n\nFoxes hunt mice and **voles** at night.\n\n"
    "## Where owls sleep\n\nAn owl sleeps in a hollow tree until dusk.\n",
    "money.md": "# Household money\n\n## How bonds are taxed\n\nBonds are taxed as income every year.\n\n"
    "## Usage\n\nWrite the sums into the book.\n",
    "garden.md": "# The kitchen garden\n\n## When beans are sown\n\nBeans are sown in May, after the frost.\n\n"
    "## Usage\n\nWater them in the evening.\n",
}
RUN = CliRunner()


@pytest.fixture(scope="module")
def db(build_once: BuildOnce) -> Path:
    def build(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(text)
        paths = [str(folder / name) for name in FILES]
        command = ["index", *paths, "--db", str(folder / "db"), "--collection", "notes", "--embedder", "static"]
        done = RUN.invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output

    return build_once("indexed-for-eval", build) / "db"


@pytest.fixture(scope="module")
def passages(db: Path) -> IndexedPassages:
    read = IndexedPassages.read(open_collection(db, "notes"))
    renamed = {id: {**about, "path": Path(str(about["path"])).name} for id, about in read.metadata.items()}
    return IndexedPassages(read.name, read.texts, renamed)


def texts_of(passages: IndexedPassages, ids: Any) -> list[str]:
    return sorted(passages.body(id) for id in ids)


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ("animals.md", ["An owl sleeps in a hollow tree until dusk.", "Foxes hunt mice and **voles** at night."]),
        ("animals.md#what-the-fox-hunts", ["Foxes hunt mice and **voles** at night."]),
        ("animals.md#What the fox hunts", ["Foxes hunt mice and **voles** at night."]),
        ("foxes hunt mice and voles", ["Foxes hunt mice and **voles** at night."]),
        ("Beans are\n sown in  May", ["Beans are sown in May, after the frost."]),
        ("garden.md#usage", ["Water them in the evening."]),
    ],
)
def test_an_answer_is_a_path_a_heading_or_words(answer: str, texts: list[str], passages: IndexedPassages) -> None:
    assert texts_of(passages, passages.find(answer)) == texts


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("animal.md", r"names no passage of notes: it is no path \(there is animals.md\)"),
        ("animals.md#what-the-fox-eats", "animals.md has no heading 'what-the-fox-eats'; it has #what-the-fox-hunts"),
        ("cows give milk", "these words don't stand in a passage"),
        ("#", "names no passage"),
        (" ", "names no passage"),
    ],
)
def test_an_answer_that_is_nowhere_says_what_there_is(answer: str, message: str, passages: IndexedPassages) -> None:
    with pytest.raises(InputError, match=message):
        passages.find(answer)


def write(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_questions_with_answers_become_a_judged_collection(passages: IndexedPassages, tmp_path: Path) -> None:
    file = write(
        tmp_path / "q.jsonl",
        {"query": "what does a fox eat?", "relevant": "animals.md#what-the-fox-hunts"},
        {
            "question": "how are bonds taxed?",
            "relevant": ["bonds are taxed", {"path": "money.md", "text": "sums", "grade": 2}],
        },
        {"query": "what does a fox eat?", "relevant": [{"path": "animals.md"}]},
    )
    collection = read_answers(file, passages)
    assert list(collection.queries.values()) == ["what does a fox eat?", "how are bonds taxed?"]
    assert [sorted(grades.values()) for grades in collection.qrels.values()] == [[1, 1], [1, 2]]
    report = evaluate(collection, {"resift:small": Reranker()}, stage="bm25", depth=5)
    assert report.evaluations[1].metrics["RR@10"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": "q"}, "no `relevant`"),
        ({"query": "q", "relevant": []}, "`relevant` is empty"),
        ({"relevant": "animals.md"}, "no query"),
        ({"query": " ", "relevant": "animals.md"}, "query is empty"),
        ({"query": "q", "relevant": 3}, "`relevant` holds a number"),
        ({"query": "q", "relevant": [{"grade": 2}]}, "`relevant` holds an object"),
        ({"query": "q", "relevant": [{"path": ""}]}, "path and text are empty"),
        ({"query": "q", "relevant": [{"path": "money.md", "grade": 0}]}, "grade is a whole number from 1"),
        ({"query": "q", "relevant": [{"path": "money.md", "text": "beans"}]}, "no passage of 'money.md' holds"),
        ("{", "not valid JSON"),
    ],
)
def test_a_wrong_line_is_named(row: Any, message: str, passages: IndexedPassages, tmp_path: Path) -> None:
    file = write(tmp_path / "q.jsonl", {"query": "fine", "relevant": "money.md"}, row)
    with pytest.raises(InputError, match=re.escape(f"{file}:2: ") + ".*" + re.escape(message)):
        read_answers(file, passages)


def test_headings_ask_for_what_is_under_them_and_are_not_in_its_text(passages: IndexedPassages) -> None:
    collection = heading_questions(passages)
    assert list(collection.queries.values()) == [
        "How bonds are taxed",
        "What the fox hunts",
        "When beans are sown",
        "Where owls sleep",
    ], "`Usage` is one word and comes twice"
    assert texts_of(passages, collection.qrels["2"]) == ["Foxes hunt mice and **voles** at night."]
    assert not any("What the fox hunts" in text for text in collection.documents.values())
    assert "weaker evidence" in collection.notes[0]
    assert len(heading_questions(passages, limit=2).queries) == 2
    with pytest.raises(InputError, match="no heading of 2 words"):
        heading_questions(IndexedPassages("bare", {"a": "text"}, {"a": {}}))


# The judge


def grade_by_words(body: dict[str, Any]) -> Reply:
    """Grades a passage by the words that it shares with the query."""
    user = body["messages"][1]["content"]
    passage, query = (re.search(rf"<{name} \w+>\n(.*?)\n</", user, re.S)[1] for name in ("passage", "query"))  # type: ignore[index]
    return completion(str(round(10 * OverlapScorer().score(query, [passage])[0])), {"total_tokens": 5})


@pytest.fixture
def asked() -> Collection:
    documents = {f"d{n}": text for n, text in enumerate(["red fox", "blue whale", "red bus", "old owl", "big red fox"])}
    return Collection(
        "made", documents, {"1": "red fox", "2": "blue whale", "3": "green snake"}, {"1": {}, "2": {}, "3": {}}
    )


def judge_of(url: str, file: Path | None = None, **options: Any) -> LlmJudge:
    from resift import load_scorer

    return LlmJudge(load_scorer("openai:judge", base_url=url, method="pointwise"), file, **options)  # type: ignore[arg-type]


def test_a_judge_grades_both_orders_and_is_resumed(asked: Collection, tmp_path: Path, caplog: Any) -> None:
    costs: list[Cost] = []
    with serving(grade_by_words) as server:
        rerankers = {"overlap": Reranker(OverlapScorer())}
        options = {"pool": 2, "twice": 0.5, "agree": costs.append}
        judge = judge_of(server.url, tmp_path / "grades.jsonl", **options)
        report = evaluate(asked, rerankers, stage="static", judge=judge)
        first = len(server.requests)
        again = evaluate(
            asked, rerankers, stage="static", judge=judge_of(server.url, tmp_path / "grades.jsonl", **options)
        )
        assert len(server.requests) == first == costs[0].calls
    assert costs[1] == Cost(0, 0, first)
    assert costs[0].tokens > 50 * costs[0].calls
    assert report.queries == 2, "nothing answers the third"
    assert report.evaluations[1].metrics["nDCG@10"] == again.evaluations[1].metrics["nDCG@10"] > 0.9
    assert report.judge is not None
    assert (report.judge["same_level"], report.judge["apart"]) == (1.0, 0.0)
    assert report.judge["name"] == "openai:judge (pointwise)"
    assert any("1 of 3 queries have no relevant passage, such as '3'" in note for note in report.notes)


def test_the_judge_sees_a_random_order_and_no_hint_of_either_order(asked: Collection) -> None:
    seen: dict[int, list[str]] = {}
    for seed in (1, 1, 2):
        prompts: list[str] = []
        llm = LlmScorer(lambda prompt, seen=prompts: seen.append(prompt.user) or "5", method="pointwise", parallel=1)  # type: ignore[misc]
        evaluate(asked, {"overlap": Reranker(OverlapScorer())}, stage="static", judge=LlmJudge(llm, seed=seed, twice=1))
        assert seen.setdefault(seed, prompts) == prompts, "a seed gives an order"
        half = len(prompts) // 2
        assert sorted(prompts[:half]) == sorted(prompts[half:])
        assert prompts[:half] != prompts[half:], "the second time is another order"
    assert sorted(seen[1]) == sorted(seen[2])
    assert seen[1] != seen[2]


def test_a_judge_that_fails_keeps_what_it_graded(asked: Collection, tmp_path: Path) -> None:
    left = [4]

    def fail_later(body: dict[str, Any]) -> Reply:
        left[0] -= 1
        return grade_by_words(body) if left[0] >= 0 else Reply(400, {"error": {"message": "out of credit"}})

    file = tmp_path / "grades.jsonl"
    with serving(fail_later) as server:
        with pytest.raises(Exception, match=r"out of credit; 3 of 1\d grades are kept: run it again to go on"):
            evaluate(asked, {}, stage="static", judge=judge_of(server.url, file, pool=3))
        with file.open("a") as half:  # as a kill in the middle of a write leaves it
            half.write('{"key": "cut sh')
        kept = len(file.read_text().splitlines()) - 1
        left[0] = 1000
        report = evaluate(asked, {}, stage="static", judge=judge_of(server.url, file, pool=3))
    assert kept == 3
    assert report.judge is not None
    assert report.judge["graded"] == 9
    assert len([row for row in map(try_json, file.read_text().splitlines()) if row]) == 9 + report.judge["twice"]


def try_json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def test_what_the_judge_answers_can_be_unreadable_or_all_bad(asked: Collection, tmp_path: Path) -> None:
    answers = iter(["perhaps", *["8"] * 100])
    llm = LlmScorer(lambda _: next(answers), method="pointwise", parallel=1)
    report = evaluate(asked, {}, stage="static", judge=LlmJudge(llm, tmp_path / "g.jsonl", pool=2, twice=0))
    assert report.judge is not None
    assert report.judge["unreadable"] == 1
    assert len((tmp_path / "g.jsonl").read_text().splitlines()) == 5, "it is asked again by the next run"
    with pytest.raises(InputError, match="finds none of 15 passages relevant"):
        evaluate(asked, {}, stage="static", judge=LlmJudge(LlmScorer(lambda _: "1", method="pointwise")))
    for wrong in (LlmScorer(lambda _: "1"), OverlapScorer()):
        with pytest.raises(InputError, match="a judge is an LLM that grades each passage alone"):
            LlmJudge(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="twice is a share"):
        LlmJudge(llm, twice=2)
    assert [level(grade) for grade in (0, 3.9, 4, 7, 9)] == [0, 0, 1, 2, 3]


def test_a_judge_that_gives_no_grades_is_stopped_and_named(
    asked: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    llm = LlmScorer(lambda prompt: calls.append(prompt) or "As an AI, I like it", method="pointwise", parallel=1)  # type: ignore[func-returns-value]
    file = tmp_path / "g.jsonl"
    with pytest.raises(ScorerError, match=r"none of 15 answers is a grade; .*As an AI, I like it"):
        evaluate(asked, {}, stage="static", judge=LlmJudge(llm, file, twice=0))
    monkeypatch.setattr("resift.evaluation.judge.BLIND", 5)
    calls.clear()
    with pytest.raises(ScorerError, match="none of 5 answers is a grade"):
        evaluate(asked, {}, stage="static", judge=LlmJudge(llm, file, twice=0))
    assert len(calls) == 5, "nobody pays for the others"
    some = LlmScorer(lambda _: "?" if len(calls) > 9 else calls.append("") or "8", method="pointwise", parallel=1)  # type: ignore[func-returns-value]
    for _ in range(2):  # what can't be read is asked again, and is no reason to stop where others could
        report = evaluate(asked, {}, stage="static", judge=LlmJudge(some, file, twice=0))
        assert report.judge is not None
        assert report.judge["unreadable"] == 10


def test_a_file_of_grades_that_somebody_edited(asked: Collection, tmp_path: Path) -> None:
    file = tmp_path / "g.jsonl"
    llm = LlmScorer(lambda _: "8", method="pointwise")
    evaluate(asked, {}, stage="static", judge=LlmJudge(llm, file, twice=0))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row, grade in zip(rows, (math.nan, -1, 11, math.inf), strict=False):
        row["grade"] = grade
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    costs: list[Cost] = []
    evaluate(asked, {}, stage="static", judge=LlmJudge(llm, file, twice=0, agree=costs.append))
    assert costs[0].calls == 4, "what is no grade is asked again"


def test_questions_alone_without_a_judge(passages: IndexedPassages, tmp_path: Path) -> None:
    file = write(tmp_path / "log.txt", "", "what do foxes hunt?")
    with pytest.raises(InputError, match=rf"^{re.escape(str(file))}:2: this .* need an LLM that judges: --judge"):
        read_answers(file, passages)


# The command


def run(*arguments: str, env: dict[str, str] | None = None) -> Any:
    return RUN.invoke(app, ["eval", *arguments], env=env, catch_exceptions=False)


def test_the_command_measures_an_indexed_collection(db: Path, tmp_path: Path) -> None:
    file = write(
        tmp_path / "q.jsonl",
        {"query": "what do foxes catch?", "relevant": "Foxes hunt mice"},
        {"query": "when do I sow beans?", "relevant": "beans are sown in May"},
    )
    at = ["--db", str(db), "--collection", "notes", "--questions", str(file), "--depth", "4"]
    done = run(*at, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["queries"], report["evaluations"][0]["name"]) == (2, "first stage: notes")
    assert report["evaluations"][1]["metrics"]["RR@10"] == 1
    write(file, {"query": "q", "relevant": "cows give milk"})
    wrong = run(*at)
    assert wrong.exit_code == 1
    assert "q.jsonl:1: 'cows give milk' names no passage" in wrong.stderr
    headings = run("notes", "--db", str(db), "--depth", "4")
    assert headings.exit_code == 0, headings.output
    assert "weaker evidence" in headings.stderr


def test_the_command_asks_before_a_judge_costs_anything(db: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "log.txt", "what do foxes hunt at night", "", "how are bonds taxed", "how are bonds taxed")
    at = ["notes", "--db", str(db), "--questions", str(file), "--depth", "4", "--pool", "3", "--twice", "0.2"]
    with serving(grade_by_words) as server:
        judged = [*at, "--judge", "openai:judge"]
        env = {"OPENAI_BASE_URL": server.url}
        for options, message in (
            ([], "say --yes to agree, or --budget CALLS"),
            (["--budget", "3"], "more than --budget 3"),
        ):
            refused = run(*judged, *options, env=env)
            assert refused.exit_code == 1
            assert message in refused.stderr
        assert not server.requests
        done = run(*judged, "--budget", "20", "--json", env=env)
        assert done.exit_code == 0, done.output
        calls = len(server.requests)
        assert f"{calls} calls of the judge, about" in done.stderr
        report = json.loads(done.stdout)
        assert report["judge"]["twice"] == calls - report["judge"]["graded"]
        again = run(*judged, env=env)
        assert again.exit_code == 0, "nothing is left to pay for"
        assert "to the same level" in again.stderr
        assert len(server.requests) == calls
    (db / "judgements.jsonl").unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give a judged COLLECTION"),
        (["--judge", "openai:m", "--collection", "notes"], "give --questions FILE"),
        (["--collection", "none"], "there is no database"),
        (["--collection", "notes", "--qrels", "q.tsv"], "--qrels is for a judged folder"),
        (["--questions", "none.jsonl", "--judge", "resift:tiny", "--db", "DB"], "--judge takes an LLM"),
        (["--db", "DB", "--collection", "notes", "--first-stage", "chroma:x"], "knows the headings"),
        (["--db", "DB", "--collection", "notes", "--questions", "none.jsonl"], "none.jsonl can't be read"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], message: str, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run(*(str(db) if option == "DB" else option for option in options))
    assert refused.exit_code == 1
    assert message in refused.stderr


def test_questions_are_lines_or_json_lines(passages: IndexedPassages, tmp_path: Path) -> None:
    assert list(read_questions(write(tmp_path / "a.txt", "one", " ", "two", "one"), passages).queries.values()) == [
        "one",
        "two",
    ]
    assert list(read_questions(write(tmp_path / "a.jsonl", {"query": "one"}), passages).queries.values()) == ["one"]
    with pytest.raises(InputError, match="holds no question"):
        read_questions(write(tmp_path / "b.txt", ""), passages)
