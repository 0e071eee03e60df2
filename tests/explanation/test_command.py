"""`resift explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resift.cli.app import app


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, stdin: str | bytes | None = None, code: int = 0) -> Any:
    result = CliRunner().invoke(
        app, ["explain", *arguments, "--model", "resift:tiny"], input=stdin, catch_exceptions=False
    )
    assert result.exit_code == code, result.output
    return result


def test_a_text(here: Path) -> None:
    result = run("python snake", "Ball python care guide", "--html", "out.html", "--svg", "out.svg")
    assert "Ball **python** care guide" in result.stdout
    assert (here / "out.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (here / "out.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert result.stderr == ""


def test_a_file_and_stdin(here: Path) -> None:
    (here / "guide.md").write_text("# Ball python\n\nIt is a snake.", encoding="utf-8")
    from_file = run("python snake", "guide.md")
    assert "note: the document is the file guide.md" in from_file.stderr
    assert "**python**" in from_file.stdout
    assert "**snake**" in run("python snake", "-", stdin=b"It is a \xc2\xbbsnake\xc2\xab.").stdout


def test_a_file_keeps_its_title_and_headings(here: Path) -> None:
    page = "---\ntitle: Pets\n---\n# Ball python\n\nIt is a snake.\n\n## Food\n\nMice.\n\n## Home\n\nA box."
    (here / "guide.md").write_text(page, encoding="utf-8")
    (here / "guide.html").write_text("<title>Pets</title><h1>Pets</h1><p>It is a snake.</p>", encoding="utf-8")
    (here / "a_guide.txt").write_text("It is a snake.", encoding="utf-8")
    for name, text in (
        ("guide.md", "Pets\n\nBall python\n\nIt is a snake.\n\nFood\n\nMice.\n\nHome\n\nA box."),
        ("guide.html", "Pets\n\nIt is a snake."),
        ("a_guide.txt", "It is a snake."),
    ):
        assert json.loads(run("python snake", name, "--json").stdout)["document"] == text


def test_a_folder_or_a_file_that_is_not_there(here: Path) -> None:
    (here / "docs").mkdir()
    assert "docs is a folder: give a file" in run("python", "docs", code=1).stderr
    for name in ("no-such.md", "docs/guide.txt"):
        assert f"note: there is no file {name}: the document is this text" in run("python", name).stderr
    for text in ("python", "python.", "See guide.md", "e.g."):
        assert run("python", text).stderr == ""


def test_an_empty_document_is_said_to_be_one(here: Path) -> None:
    for text in ("", "  \n "):
        assert "No words: the document is empty" in run("python", text, "--html", "out.html").stdout
        assert "No words: the document is empty" in (here / "out.html").read_text(encoding="utf-8")


def test_json_is_what_the_library_gives() -> None:
    data = json.loads(run("python snake", "Ball python care guide", "--json").stdout)
    assert data["method"] == "parts"
    assert data["evidence"]["text"] == "Ball python care guide"
    assert sum(data["parts"].values()) == pytest.approx(data["score"])


def test_occlusion_says_beforehand_what_it_asks() -> None:
    result = run("python snake", "Ball python care guide", "--method", "occlusion", "--budget", "9", "--json")
    assert "note: resift:tiny is asked to score up to 5 texts: words are left out" in result.stderr
    assert json.loads(result.stdout)["pairs_scored"] == 5


def test_what_goes_wrong_is_one_line() -> None:
    assert "there is no folder nowhere" in run("a", "b", "--svg", "nowhere/a.svg", code=1).stderr
    assert "the query must be a text" in run(" ", "b", code=1).stderr
    assert "not UTF-8" in run("a", "-", stdin=b"a\xff\xfd", code=1).stderr


def test_it_says_where_the_end_went_unread() -> None:
    long = "Ball pythons live in Africa. " * 80
    assert "part of the document went unread" in run("python", long, "--long-documents", "truncate").stdout
    assert "unread" not in run("python", long, "--long-documents", "max_window").stdout
