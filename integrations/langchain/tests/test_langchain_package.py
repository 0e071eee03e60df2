from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import langchain_resift
import resift
import resift.adapters
import resift.chroma

PACKAGE = Path(langchain_resift.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_exported_names() -> None:
    assert langchain_resift.__all__ == sorted(langchain_resift.__all__)
    assert all(hasattr(langchain_resift, name) for name in langchain_resift.__all__)
    assert langchain_resift.__version__ in ("", PROJECT["version"])
    assert (PACKAGE / "py.typed").exists()


def test_the_core_is_seen_by_its_public_names_alone() -> None:
    imported = {
        (node.module, name.name)
        for path in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "resift"
        for name in node.names
    }
    public = {(module.__name__, name) for module in (resift, resift.adapters) for name in module.__all__}
    assert imported - {("resift.chroma", "ChromaFirstStage")} <= public
    assert len(imported) > 5


def test_dependencies_are_the_framework_s_core_and_ours() -> None:
    assert PROJECT["dependencies"] == ["langchain-core>=1.3,<2", "resift>=0.1,<0.2"]
