"""A collection in many languages on the command line: its own bi-encoder, its own reranker, and its own states."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import split_models
from typer.testing import CliRunner

from resift.cli.app import app

NAME = "resift:multilingual"


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def indexed(multilingual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for language, text in split_models.LANGUAGES.items():
        (tmp_path / "docs" / f"{language}.md").write_text(f"# {language}\n\n{text}\n", encoding="utf-8")
    run("index", "docs", "--embedder", "multilingual", "--keep-states")
    return multilingual


@pytest.mark.usefixtures("indexed")
def test_it_is_searched_by_the_model_that_embeds_it_and_reads_its_states(monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(run("search", "Панда", "--json").stdout)
    assert (found["model"], found["stats"]["states_kept"]) == (NAME, len(split_models.LANGUAGES))
    assert json.loads(run("search", "Панда", "--json", "--model", "resift:tiny").stdout)["model"] == "resift:tiny"
    assert f"5 records, embedded with {NAME}" in run("doctor").stdout
    Path("questions.jsonl").write_text('{"query": "Панда", "relevant": "docs/Russian.md"}\n', encoding="utf-8")
    measured = json.loads(run("eval", "--questions", "questions.jsonl", "--json").stdout)
    assert NAME in json.dumps(measured)
    assert json.loads(run("index", "docs", "--json").stdout)["unchanged"] == len(split_models.LANGUAGES)
    monkeypatch.setitem(sys.modules, "resift_multilingual", None)
    for command in (("search", "Панда"), ("index", "docs")):
        assert "pip install 'resift[multilingual]'" in run(*command, code=1).output
    new = run("index", "docs", "--db", "new", "--embedder", "multilingual", code=1)
    assert "pip install 'resift[multilingual]'" in new.output
    assert not Path("new").exists()
    checks = {check["name"]: check for check in json.loads(run("doctor", "--json", code=1).stdout)["checks"]}
    assert checks["collection 'documents'"]["way_out"] == "pip install 'resift[multilingual]'"
    assert checks["kept states"]["ok"]


@pytest.mark.usefixtures("indexed")
def test_passages_are_cut_by_its_own_tokens() -> None:
    """`resift:small` reads a Russian word letter by letter."""
    text = " ".join([split_models.LANGUAGES["Russian"]] * 12)
    Path("long.md").write_text(text, encoding="utf-8")
    added = json.loads(run("index", "long.md", "--json").stdout)["added"]
    english = json.loads(run("index", "long.md", "--collection", "english", "--embedder", "static", "--json").stdout)
    assert added < english["added"]


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        ("resift.json", "resift.json is not valid JSON"),
        ("encoder.onnx", "encoder.onnx is damaged or was changed"),
        ("reader.onnx", "reader.onnx is damaged or was changed"),
    ],
)
def test_doctor_goes_on_where_the_model_of_a_collection_is_damaged(
    indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str, said: str
) -> None:
    package = tmp_path / "damaged" / "resift_multilingual"
    shutil.copytree(indexed, package / "model")
    (package / "__init__.py").touch()
    (package / "model" / damaged).write_text("[")
    monkeypatch.delitem(sys.modules, "resift_multilingual")
    monkeypatch.syspath_prepend(package.parent)
    checks = {check["name"]: check for check in json.loads(run("doctor", "--json", code=1).stdout)["checks"]}
    assert said in checks["collection 'documents'"]["detail"]
    assert checks["collection 'documents'"]["way_out"].startswith("make its model whole again")
    assert checks["kept states"]["ok"]
