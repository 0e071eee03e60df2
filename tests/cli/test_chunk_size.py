"""The size of passages on the command line, and what is said where a model reads less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cutting import LONG, CuttingScorer
from typer.testing import CliRunner

from resift import Reranker
from resift.cli._models import no_truncation_warning, note_truncation
from resift.cli._options import LongDocuments
from resift.cli.app import app

# Rows of a table: many tokens for each character, so that 900 characters are more than the models read.
TABLE = "\n".join(f"| `--option-{number}` | sets `x_{number}[{number}]` to {number * 7} |" for number in range(120))


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def as_json(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "options.md").write_text(f"# Options\n\n## Of the command line\n\n{TABLE}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_a_search_reads_every_passage_whole_and_says_nothing() -> None:
    run("index", "docs", "--embedder", "static")
    result = run("search", "which option sets x_7?", "--json", "--long-documents", "truncate")
    hits = json.loads(result.stdout)["hits"]
    assert len(hits) == 5
    assert not any(hit["truncated"] or hit["span"] for hit in hits)
    assert result.stderr == ""


@pytest.mark.usefixtures("here")
def test_another_size_is_remembered_and_a_long_one_is_commented() -> None:
    usual = as_json("index", "docs", "--embedder", "static")
    small = as_json("index", "docs", "--chunk-tokens", 64, "--chunk-overlap", 8)
    assert (small["changed"], small["removed"]) == (1, usual["total"])
    assert small["total"] > 3 * usual["total"]
    assert as_json("index", "docs")["unchanged"] == 1
    large = run("index", "docs", "--chunk-tokens", 600)
    assert "the bundled models read 254 tokens at once" in large.stderr


@pytest.mark.usefixtures("here")
def test_an_impossible_overlap_is_one_line() -> None:
    refused = run("index", "docs", "--embedder", "static", "--chunk-overlap", 100, code=1)
    assert refused.stderr.count("\n") == 1
    assert "chunk_overlap=100 is more than a third of chunk_tokens=240: give 80 at most" in refused.stderr


def test_a_model_that_reads_less_is_told_the_size_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    scorer = CuttingScorer()
    with Reranker(scorer) as reranker, no_truncation_warning():
        stats = reranker.rank("q", ["abc", LONG]).stats
    note_truncation(stats, None, scorer)
    assert "index --chunk-tokens" not in capsys.readouterr().err  # it doesn't say how much it reads
    scorer.max_length = 128  # type: ignore[attr-defined]
    note_truncation(stats, None, scorer)
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 2 texts is longer than the model reads (128 tokens" in said
    assert "--long-documents max_window scores all of it; index --chunk-tokens 96 makes passages" in said
    note_truncation(stats, LongDocuments.TRUNCATE, scorer)
    assert capsys.readouterr().err == ""
