"""Pages and pictures that commands write."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pages import check_page
from typer.testing import CliRunner

from resift.cli import _options
from resift.cli.app import app


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_search_explains_a_result_with_its_own_score(here: Path) -> None:
    (here / "docs").mkdir()
    (here / "docs" / "b.md").write_text("# Pandas\n\nGiant pandas eat bamboo.\n\n# Whales\n\nBlue whales sing.")
    run("index", "docs", "--embedder", "static")
    asked = ("search", "what do pandas eat?", "-m", "resift:tiny")
    found = json.loads(run(*asked, "--explain", 1, "--json").stdout)
    explained = found["explanation"]
    assert explained["rank"] == 1
    assert explained["score"] == found["hits"][0]["score"]  # not that of the passage without its title
    assert explained["document"] == found["hits"][0]["text"]
    shown = run(*asked, "--explain", 1).stdout
    assert "Why 1.\nscore " in shown
    assert f"score {found['hits'][0]['score']:.3f}" in shown
    assert "**pandas**" in shown.lower()
    assert "--explain 9: there are 2 results" in run(*asked, "--explain", 9, code=1).stderr


def test_search_writes_a_page_and_a_picture_of_both_stages(here: Path) -> None:
    (here / "docs").mkdir()
    for name, text in (
        ("a", "Stocks fell."),
        ("b", "# Pandas\n\nGiant pandas eat bamboo."),
        ("c", "Bamboo grows fast."),
    ):
        (here / "docs" / f"{name}.md").write_text(text)
    run("index", "docs", "--embedder", "static")
    asked = ("search", "what do pandas eat?", "-m", "resift:tiny", "-k", 2)
    plain = run(*asked, "--compare").stdout
    shown = run(*asked, "--compare", "--html", "page.html", "--svg", "moves.svg").stdout
    assert [line.split()[:5] for line in shown.splitlines()[:3]] == [
        line.split()[:5] for line in plain.splitlines()[:3]
    ]  # as many rows, and the same
    text = check_page((here / "page.html").read_text(encoding="utf-8")).text
    assert "docs/b.md · Pandas" in text
    assert "resift:static, collection documents" in text
    assert "1 more are ranked below these" in text
    ET.parse(here / "moves.svg")
    for option in ("--html", "--svg"):
        assert "there is no folder nowhere" in run(*asked, option, "nowhere/a.html", code=1).stderr
        assert "docs is a folder" in run(*asked, option, "docs", code=1).stderr


def test_rerank_and_explain_write_theirs(here: Path) -> None:
    rows = [
        {"text": "Stocks fell.", "path": "a <b>.md"},
        {"text": "Giant pandas eat bamboo.", "path": "b.md", "year": 1},
    ]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("rerank", "what do pandas eat?", "rows.jsonl", "-m", "resift:tiny", "--html", "page.html")
    text = check_page((here / "page.html").read_text(encoding="utf-8")).text
    for said in ("the order of rows.jsonl", "a <b>.md", "was 2"):
        assert said in text
    run("explain", "pandas", "Giant pandas eat bamboo.", "-m", "resift:tiny", "--png", "map.png")
    assert (here / "map.png").read_bytes().startswith(b"\x89PNG")
    for option, name in (("--png", "map.svg"), ("--svg", "b.png"), ("--html", "map.svg"), ("--html", "a.html.gz")):
        error = run("explain", "a", "b", "-m", "no such model", option, name, code=1).stderr
        assert f"{name}: {option} writes a file that ends in .{option[2:]}" in error
        assert not (here / name).exists()
    names = {"--html": "why-v1.2", "--svg": "map", "--png": "map-2026.11"}  # no ending: the name as it was given
    run("explain", "pandas", "Giant pandas eat bamboo.", "-m", "resift:tiny", *itertools.chain(*names.items()))
    assert {path.name for path in here.iterdir()} >= set(names.values())


@pytest.mark.parametrize("option", ["--html", "--per-query"])
def test_a_file_that_can_not_be_written_is_an_error_before_any_work(
    here: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "old.html").write_text("old")
    asked = ("eval", "no-collection", option)
    assert "is a folder: give the name of a file" in run(*asked, here, code=1).stderr
    assert "there is no folder none" in run(*asked, "none/a.html", code=1).stderr
    monkeypatch.setattr(_options.os, "access", lambda path, mode, **_: mode != os.W_OK)
    for name in ("old.html", "new.html"):
        assert f"{name} can't be written: there is no permission to" in run(*asked, name, code=1).stderr
    assert (here / "old.html").read_text() == "old"
