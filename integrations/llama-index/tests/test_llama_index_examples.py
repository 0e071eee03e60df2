"""The examples in docstrings run, and the package is laid out as a namespace has to be."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "llama_index"


@pytest.mark.parametrize("kind", ["postprocessor", "embeddings"])
def test_docstrings(kind: str) -> None:
    results = doctest.testmod(importlib.import_module(f"llama_index.{kind}.resift.base"))
    assert results.attempted > 0
    assert results.failed == 0


def test_the_upper_levels_are_namespaces() -> None:
    """An __init__.py there would hide every other LlamaIndex package."""
    packages = {path.relative_to(ROOT).parent.as_posix() for path in ROOT.rglob("__init__.py")}
    assert packages == {"postprocessor/resift", "embeddings/resift", "retrievers/resift"}
    assert all((ROOT / package / "py.typed").exists() for package in packages)


def test_each_kind_is_importable_where_its_users_look_and_nowhere_else() -> None:
    assert importlib.import_module("llama_index.embeddings.resift").__all__ == ["ResiftEmbedding"]
    assert importlib.import_module("llama_index.postprocessor.resift").__all__ == ["ResiftRerank"]
    assert not hasattr(importlib.import_module("llama_index.postprocessor.resift"), "ResiftEmbedding")
