"""What the commands do, over real Chroma and the bundled models."""

from __future__ import annotations

import doctest
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resift.cli.app import app
from resift.cli.index import EmbedderName
from resift.cli.models import SCHEMES
from resift.demo import QUESTIONS, fables
from resift.embedders.load import BUNDLED_EMBEDDERS
from resift.scoring.load import ENGINES

PAGES = {
    "thresholds.md": "# Scores\n\n## Thresholds\n\nSet min_relevance to keep only what is relevant enough.",
    "install.md": "# Install\n\nRun pip install resift. Nothing is downloaded later.",
    "animals/pandas.txt": "Giant pandas eat bamboo nearly all day long.",
    "animals/foxes.html": "<h1>Foxes</h1><p>Red foxes hunt mice at night.</p>",
    "tax.jsonl": '{"id": "t1", "title": "Bonds", "text": "Bond interest is taxed.", "year": 2024, "edition": "3"}',
    "logo.png": "",
}


def run(*arguments: object, stdin: str | None = None, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def as_json(*arguments: object, stdin: str | None = None) -> Any:
    return json.loads(run(*arguments, "--json", stdin=stdin).stdout)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PAGES.items():
        file = tmp_path / "docs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["cli._output", "cli.search", "demo"])
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"resift.{name}")).failed == 0


def test_index_twice_then_search(here: Path) -> None:
    first = as_json("index", "docs")
    assert (first["new"], first["added"], first["total"], first["skipped"]) == (5, 5, 5, {".png": 1})
    second = as_json("index", "docs")
    assert (second["new"], second["unchanged"], second["added"], second["total"]) == (0, 5, 0, 5)
    found = as_json("search", "how do I set a threshold?")
    assert found["hits"][0]["document"]["metadata"]["path"] == "docs/thresholds.md"
    assert found["hits"][0]["document"]["metadata"]["section"] == "Thresholds"
    assert found["hits"][0]["document"]["similarity"] > 0
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3, 4, 5]


def test_summary_and_results_for_people(here: Path) -> None:
    summary = run("index", "docs", "--embedder", "static").stdout
    assert "files: 5 new, 1 skipped (1 .png)" in summary
    assert "passages: 5 added, 0 removed; documents holds 5" in summary
    (here / "docs" / "install.md").unlink()
    (here / "docs" / "thresholds.md").write_text("# Scores\n\nOther words.")
    again = run("index", "docs", "--prune").stdout
    assert "files: 1 changed, 3 unchanged, 1 removed, 1 skipped" in again
    assert "1 added, 2 removed; documents holds 4" in again
    results = run("search", "what do pandas eat?", "-k", 2).stdout
    assert results.startswith("1. docs/animals/pandas.txt · pandas  score ")
    assert "\nGiant pandas eat bamboo nearly all day long.\n" in results
    assert "4 candidates in" in results


def test_compare_shows_where_each_came_from(here: Path) -> None:
    run("index", "docs", "--embedder", "static")
    question = "which animal hunts at night?"
    expected = as_json("search", question)["hits"]
    lines = run("search", question, "--compare").stdout.splitlines()
    assert lines[0].split() == ["rank", "was", "moved", "score", "similarity", "dense", "lexical", "passage"]
    rows = [line.split() for line in lines[1:-1]]
    assert len(rows) == len(expected) == 5
    for row, hit in zip(rows, expected, strict=True):
        steps = hit["index"] + 1 - hit["rank"]
        moved = "=" if steps == 0 else f"▲{steps}" if steps > 0 else f"▼{-steps}"
        path = hit["document"]["metadata"]["path"]
        numbers = [f"{hit['score']:.3f}", f"{hit['document']['similarity']:.3f}"]
        ranks = [str(hit["document"]["found"][half]["rank"]) for half in hit["document"]["found"]]
        cells = [str(hit["rank"]), str(hit["index"] + 1), moved, *numbers, *ranks, path]
        assert row[: len(cells)] == cells


def test_where_filters_and_finds_numbers_and_texts(here: Path) -> None:
    run("index", "docs", "--embedder", "static")
    search = ("search", "x", "--model", "resift:tiny")
    for condition in ("year=2024", "edition=3", "id=t1", "title=Bonds", "path=docs/tax.jsonl"):
        assert [hit["document"]["metadata"]["path"] for hit in as_json(*search, "--where", condition)["hits"]] == [
            "docs/tax.jsonl"
        ], condition
    assert not as_json(*search, "--where", "year=2024", "--where", "id=other")["hits"]
    assert "no result." in run(*search, "--where", "year=1").stdout


def test_search_options_reach_the_search(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("index", "docs", "--collection", "other", "--db", "data/db", "--embedder", "static")
    found = as_json("search", "bamboo", "-c", "other", "--db", "data/db", "--candidates", 2, "-k", 1)
    assert len(found["hits"]) == 1
    assert found["stats"]["documents"] == 2
    assert not as_json("search", "bamboo", "-c", "other", "--db", "data/db", "--min-relevance", 1)["hits"]
    asked = ("search", "bamboo", "-c", "other", "--db", "data/db", "-m", "resift:tiny", "-k", 1)
    monkeypatch.setattr("resift.cli.search.MANY_PASSAGES", 4)
    assert run(*asked).stderr.startswith(
        "note: 5 passages are reranked, which takes a while; --candidates and --top-k "
    )
    assert run(*asked, "--candidates", 4).stderr == ""
    path = found["hits"][0]["document"]["metadata"]["path"]
    assert path == (here / "docs/animals/pandas.txt").resolve().as_posix()


def test_a_folder_indexed_once_serves_both_stages(here: Path) -> None:
    indexed = as_json("index", "docs", "--keep-states")
    assert indexed["states_bytes"] == (here / ".resift/states.sqlite3").stat().st_size > 0
    found = as_json("search", "what do pandas eat?")
    assert found["hits"][0]["document"]["metadata"]["path"] == "docs/animals/pandas.txt"
    assert (found["stats"]["states_kept"], found["stats"]["tokens"]) == (5, 0)


@pytest.mark.parametrize(
    ("option", "own", "other"), [([], "dense", "static"), (["--embedder", "static"], "static", "dense")]
)
def test_a_collection_remembers_its_bi_encoder(here: Path, option: list[str], own: str, other: str) -> None:
    run("index", "docs/install.md", *option)
    assert as_json("index", "docs", "--embedder", own)["new"] == 4
    (here / "docs" / "more.txt").write_text("Said of neither.")
    assert as_json("index", "docs")["new"] == 1
    refused = run("index", "docs", "--embedder", other, code=1).stderr
    assert f"was indexed with resift:{own}, and vectors of two models can't be compared: leave out" in refused
    assert as_json("search", "what do pandas eat?")["hits"][0]["document"]["metadata"]["title"] == "pandas"


@pytest.mark.usefixtures("multilingual")
@pytest.mark.parametrize("embedder", EmbedderName)
def test_states_of_what_was_indexed_before_are_added(here: Path, embedder: EmbedderName) -> None:
    as_json("index", "docs", "--embedder", embedder)
    assert as_json("search", "pandas")["stats"]["states_kept"] == 0
    assert not (here / ".resift/states.sqlite3").exists()
    assert "states: .resift/states.sqlite3, " in run("index", "docs", "--keep-states").stdout
    stats = as_json("search", "pandas")["stats"]
    assert stats["states_kept"] == stats["pairs"] >= 5
    (here / ".resift/states.sqlite3").write_bytes(b"damaged" * 1000)
    damaged = run("search", "pandas", "--json")
    assert json.loads(damaged.stdout)["stats"]["states_kept"] == 0
    assert damaged.stderr.startswith(
        "note: kept states can't be used, and are computed instead: .resift/states.sqlite3"
    )
    assert damaged.stderr.count("note: ") == 1


@pytest.mark.slow  # long texts, by both stages
def test_passages_of_index_are_read_to_their_end(here: Path) -> None:
    (here / "long.txt").write_text("\n".join(f"{{[({number})]}};" for number in range(150)))
    run("index", "long.txt")
    for option in ([], ["--long-documents", "truncate"], ["--long-documents", "first_window"]):
        assert run("search", "numbers", *option).stderr == ""
        assert as_json("search", "numbers", *option)["stats"]["truncated"] == 0


def test_rerank_lines_from_a_pipe_and_a_file(here: Path) -> None:
    documents = "Stocks fell on Monday.\n\nPandas eat bamboo.\nBamboo is a grass.\n"
    found = as_json("rerank", "what eats bamboo?", "-", stdin=documents)
    assert found["hits"][0]["text"] == "Pandas eat bamboo."
    assert len(found["hits"]) == 3
    (here / "lines.txt").write_text(documents)
    out = run("rerank", "what eats bamboo?", "lines.txt", "--top-k", 1).stdout
    assert out.splitlines()[1].split()[:3] == ["1", "2", "▲1"]
    assert "Pandas eat bamboo." in out
    assert "Stocks" not in out


def test_rerank_jsonl(here: Path) -> None:
    records = '{"_id": "a", "text": "Stocks fell."}\n{"_id": "b", "title": "Pandas", "text": "They eat bamboo."}\n'
    (here / "records.jsonl").write_text(records)
    for found in (
        as_json("rerank", "what eats bamboo?", "records.jsonl"),
        as_json("rerank", "what eats bamboo?", "-", "--jsonl", stdin=records),
    ):
        assert [hit["document"] for hit in found["hits"]] == [{"id": "b"}, {"id": "a"}]
        assert found["hits"][0]["text"] == "Pandas\n\nThey eat bamboo."


def test_rerank_of_nothing_is_nothing(here: Path) -> None:
    assert as_json("rerank", "anything", "-", stdin="\n")["hits"] == []


def test_markup_in_texts_is_shown_as_it_is(here: Path) -> None:
    out = run("rerank", "colours", "-", stdin="[red]not markup[/red] :smile:\n").stdout
    assert "[red]not markup[/red] :smile:" in out
    (here / "docs" / "odd.[bold]").write_text("")
    assert "1 .[bold]" in run("index", "docs").stdout


def test_a_long_text_is_shortened_and_no_number_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    out = run(
        "rerank", "what eats bamboo?", "-", stdin="Stocks fell on Monday. " * 30 + "\nPandas eat bamboo.\n"
    ).stdout
    assert out.splitlines()[0].split() == ["rank", "was", "moved", "score", "relevance", "document"]
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [["1", "2", "▲1"], ["2", "1", "▼1"]]
    assert out.splitlines()[2].rstrip().endswith("…")


@pytest.mark.parametrize(
    ("command", "default"),
    [
        ("index", "the collection's own, or dense"),
        ("rerank", "all"),
        ("eval", "all"),
        ("score", "by the CPUs"),
        ("distill", "by the base"),
        ("distill", "the folder's"),
        ("train", "its own, or resift:static"),
        ("train", "the folder's"),
    ],
)
def test_help_names_defaults_that_are_no_values(command: str, default: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a help text, rich takes what stands in square brackets for markup, and leaves it out."""
    monkeypatch.setenv("COLUMNS", "200")
    assert f"[default: ({default})]" in run(command, "--help").stdout


def test_models() -> None:
    for name in ("resift:small", "resift:static"):
        assert as_json("models", name)["model"]["name"] == name
        assert "Apache-2.0" in run("models", name).stdout
    found = as_json("models")
    names = [model["name"] for model in found["models"]]
    assert names == [f"resift:{name}" for name in ["small", "tiny", "fast", "static", "dense", "multilingual"]]
    *in_the_wheel, _ = found["models"]
    assert all(model["bytes"] > 1_000_000 and model["licence"] for model in in_the_wheel)
    assert [model["precision"] for model in in_the_wheel] == [
        "int8-dynamic",
        "int8",
        "int8-dynamic",
        "int8",
        "int8-dynamic",
    ]
    assert not any(model["name"] in model["source"] for model in in_the_wheel), "none is made of itself"
    assert {scheme["scheme"] for scheme in found["schemes"]} == set(SCHEMES)
    out = run("models").stdout
    assert "resift:small" in out
    assert "onnx:" in out


def test_every_engine_is_listed() -> None:
    assert {*ENGINES, "resift"} == set(SCHEMES)


def test_every_bundled_embedder_is_an_option() -> None:
    assert [str(name) for name in EmbedderName] == list(BUNDLED_EMBEDDERS)


def test_demo_says_what_the_models_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("resift.cli.demo.CANDIDATES", 8)  # less to wait for
    found = as_json("demo", "--html", tmp_path / "page.html", "--svg", tmp_path / "moves.svg")
    risen = max(found["questions"], key=lambda one: one["answer_rank"] == 1 and one["answer_first_stage_rank"])
    for name in ("page.html", "moves.svg"):  # of the search in which the answer rose most
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert f"<title>{risen['question']}" in page
        assert risen["answer"] in page
    out = run("demo").stdout
    assert len(found["questions"]) == len(QUESTIONS)
    for question in found["questions"]:
        first, final = question["answer_first_stage_rank"], question["answer_rank"]
        if first is None:
            verdict = f"{question['answer']}: not among the"
        elif first == final:
            verdict = f"{question['answer']}: stays at {final}"
        else:
            verdict = f"{question['answer']}: from {first} to {final}" + (", which is worse" if final > first else "")
        assert verdict in out
        assert f"{question['hits'][0]['relevance']:.2f}" in out
    before = sum(question["answer_first_stage_rank"] == 1 for question in found["questions"])
    after = sum(question["answer_rank"] == 1 for question in found["questions"])
    assert f"first in {before} of {len(QUESTIONS)} cases after the first stage, in {after} after reranking" in out
    right = found["ambiguous"]["answer_rank"] == 1
    assert (": right." in out, ": wrong, " in out) == (right, not right)
    assert out.index("The ambiguous one") < out.index("The fable marked"), "the summary is what is read last"
    assert "resift index docs/" in out


def test_fables() -> None:
    found = fables()
    titles = {passage.metadata["title"] for passage in found}
    assert len({passage.id for passage in found}) == len(found) == 176
    assert {question.answer for question in QUESTIONS} <= titles
    assert all(passage.text.startswith(f"{passage.metadata['title']}\n\n") for passage in found)


@pytest.mark.parametrize("arguments", [["--help"], ["index", "--help"], ["search", "--help"], ["models", "--json"]])
def test_help_and_models_are_light(arguments: list[str]) -> None:
    check = f"""
import sys
from resift.cli.app import main
sys.argv = ["resift", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
names = ("numpy", "onnxruntime", "tokenizers", "torch", "chromadb", "selectolax")
heavy = [name for name in names if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, capture_output=True)


def test_the_core_alone_runs_the_demo() -> None:
    check = """
import sys
for name in ("chromadb", "selectolax", "pypdf", "torch", "sentence_transformers", "httpx"):
    sys.modules[name] = None
import resift.cli.demo
from resift.cli.app import main
resift.cli.demo.CANDIDATES = 8  # less to wait for
sys.argv = ["resift", "demo", "--json"]
main()
"""
    done = subprocess.run([sys.executable, "-c", check], check=True, timeout=120, capture_output=True, text=True)
    assert all(len(question["hits"]) == 8 for question in json.loads(done.stdout)["questions"])
    assert done.stderr == ""
