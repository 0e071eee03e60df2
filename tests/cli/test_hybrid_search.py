"""`resift index`, `search` and `mcp` with an index of words beside the vectors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import chromadb
import pytest
from typer.testing import CliRunner

from resift.cli import _search
from resift.cli.app import app
from resift.search.collections import open_collection
from resift.search.in_step import CollectionIndex

PAGES = {
    "panda.md": "# Pandas\n\nThe panda eats bamboo all day.",
    "code.md": "# Error codes\n\nE4711 means that the disk is full.",
    "bear.md": "# Bears\n\nThe bear sleeps in winter and eats salmon.",
}


def run(*arguments: str, code: int = 0) -> Any:
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for name, text in PAGES.items():
        (tmp_path / "docs" / name).write_text(text)
    run("index", "docs", "--embedder", "static")
    return tmp_path


def hits(*arguments: str) -> list[dict[str, Any]]:
    found = json.loads(run("search", *arguments, "--model", "resift:tiny", "--json").stdout)["hits"]
    return [hit["document"] | {"path": hit["document"]["metadata"]["path"]} for hit in found]


def test_index_keeps_the_words_in_step(indexed: Path) -> None:
    (indexed / "docs" / "panda.md").write_text("# Pandas\n\nThe panda plays the xylophone.")
    (indexed / "docs" / "bear.md").unlink()
    report = json.loads(run("index", "docs", "--prune", "--json").stdout)
    assert report["lexical_bytes"] > 0
    index = CollectionIndex(open_collection(indexed / ".resift", "documents"))
    assert index.behind(exact=True) == ""
    assert [hit.id for hit in index.current().search("bamboo bear", 5)] == []
    assert len(index.current().search("xylophone", 5)) == 1
    assert not list((indexed / ".resift" / "lexical").glob("*.behind"))


def test_a_search_by_words_and_by_vectors_alone(indexed: Path) -> None:
    best = hits("E4711")[0]
    assert best["path"] == "docs/code.md"
    assert best["found"]["lexical"]["rank"] == 1
    assert best["fused"] > 0
    assert all("found" not in hit for hit in hits("E4711", "--no-hybrid"))
    assert {hit["path"] for hit in hits("eats", "--where", "path=docs/bear.md")} == {"docs/bear.md"}
    compared = run("search", "E4711", "--model", "resift:tiny", "--compare").stdout
    assert "lexical" in compared
    assert "lexical" not in run("search", "E4711", "--model", "resift:tiny", "--compare", "--no-hybrid").stdout


def test_a_run_that_was_killed_before_the_words_is_completed_by_the_next_search(indexed: Path) -> None:
    collection = open_collection(indexed / ".resift", "documents")
    CollectionIndex(collection).mark()
    collection.add(ids=["new"], documents=["a xylophone"], metadatas=[{"path": "new.md"}])
    assert hits("xylophone")[0]["found"]["lexical"]["rank"] == 1
    assert CollectionIndex(collection).behind() == ""


def test_without_tantivy_vectors_are_searched_and_a_note_says_so(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        _search, "find_spec", lambda name: None if name == "tantivy" else importlib.util.find_spec(name)
    )
    result = run("search", "bamboo", "--model", "resift:tiny")
    assert "note: words are not searched, only vectors" in result.stderr
    assert "docs/panda.md" in result.stdout


def test_a_collection_of_somebody_else_s(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path / "db"))
    client.create_collection("theirs", embedding_function=None).add(ids=["a"], documents=["x"], embeddings=[[1.0, 2.0]])
    for command in (["search", "x"], ["mcp"]):
        result = run(*command, "--collection", "theirs", "--db", str(tmp_path / "db"), code=1)
        assert "say --embedder static, dense or multilingual" in result.stderr
