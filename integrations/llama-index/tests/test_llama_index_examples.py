"""The examples in docstrings run, and the package is laid out as a namespace has to be."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "llama_index"


@pytest.mark.parametrize("module", ["base", "embedding"])
def test_docstrings(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"llama_index.postprocessor.resift.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_upper_levels_are_namespaces() -> None:
    """An __init__.py there would hide every other LlamaIndex package."""
    assert [path.relative_to(ROOT).parent.as_posix() for path in ROOT.rglob("__init__.py")] == ["postprocessor/resift"]
