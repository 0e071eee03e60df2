"""`--evidence`: the sentence that answers, on the screen and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resift.cli.app import app

TEXT = "Rain fell all day. Pandas eat bamboo. They sleep."


def run(*arguments: str, stdin: str | None = None) -> Any:
    result = CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_rerank_shows_the_sentence_that_answers() -> None:
    arguments = ("rerank", "what eats bamboo?", "-", "--model", "resift:tiny")
    out = run(*arguments, "--evidence", stdin=TEXT)
    assert "Pandas eat bamboo." in out
    assert "Rain" not in out
    (hit,) = json.loads(run(*arguments, "--evidence", "--json", stdin=TEXT))["hits"]
    assert [TEXT[row["start"] : row["end"]] for row in hit["evidence"]] == ["Pandas eat bamboo."]
    assert json.loads(run(*arguments, "--json", stdin=TEXT))["hits"][0]["evidence"] == []


def test_search_shows_the_sentence_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pandas.txt").write_text(TEXT)
    run("index", "docs", "--embedder", "static")
    for compare in ((), ("--compare",)):
        out = run("search", "what eats bamboo?", "--model", "resift:tiny", "--evidence", *compare)
        assert "pandas.txt" in out
        assert "Pandas eat bamboo." in out
        assert "Rain" not in out
