"""The documentation site: every public name is in its reference, and its pages ask nothing of another host."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

import resift
from resift.cli.app import app

ROOT = Path(__file__).parent.parent
API = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs/api").glob("*.md")))
DOCUMENTED = set(re.findall(r"^::: ([\w.]+)$", API, re.MULTILINE))
# What these modules hold for the top level is documented under `resift`.
MODULES = (
    "resift",
    "resift.adapters",
    "resift.bulk",
    "resift.chroma",
    "resift.documents",
    "resift.errors",
    "resift.evaluation",
    "resift.llm",
    "resift.mcp",
    "resift.scorer",
    "resift.testing",
    "resift.tracing",
    "resift.training",
    "haystack_integrations.components.rankers.resift",
    "langchain_resift",
    "llama_index.embeddings.resift",
    "llama_index.postprocessor.resift",
    "resift_lancedb",
)
OUTSIDE = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data)=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|<link\b(?![^>]*rel=[\"']?(?:canonical|prev|next))[^>]*?href=[\"']?(?:https?:)?//[^\"'\s>]+"
    r"|url\([\"']?(?:https?:)?//[^)]+"
)


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    specification = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/_site/hooks.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _public_names(module_name: str) -> list[str]:
    module = importlib.import_module(module_name)
    if names := getattr(module, "__all__", None):
        return [name for name in names if not name.startswith("_")]
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", None) == module_name}
    return [name for name in own if not name.startswith("_")]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    names = _public_names(module)
    assert names
    at_the_top = {name for name in resift.__all__ if module.startswith("resift")}
    missing = [
        name
        for name in names
        if f"{module}.{name}" not in DOCUMENTED and not (name in at_the_top and module != "resift")
    ]
    assert not missing, f"add `::: {module}.{missing[0]}` to a page of docs/api"


def test_no_name_of_the_reference_is_gone() -> None:
    for name in sorted(DOCUMENTED):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_the_page_of_commands_has_every_command_and_option(hooks: ModuleType) -> None:
    page = hooks.command_line()
    commands = get_command(app).commands
    assert len(commands) > 10
    for name, command in commands.items():
        section = page.partition(f"## resift {name}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name]
            assert getattr(parameter, "hidden", False) or any(known in section for known in names), (name, names)


@pytest.mark.parametrize(
    ("page", "link", "leads_to"),
    [
        ("indexing.md", "[a](../SECURITY.md)", "[a](R/SECURITY.md)"),
        ("indexing.md", "[a](../tests/reliability/versions.py#top)", "[a](R/tests/reliability/versions.py#top)"),
        ("concepts/kinds.md", "[a](../models.md#x)", "[a](../models.md#x)"),
        ("concepts/kinds.md", "[a](../../benchmarks)", "[a](R/benchmarks)"),
        ("indexing.md", "[a](models.md) [b](#c) [d](https://e.f)", "[a](models.md) [b](#c) [d](https://e.f)"),
        ("langchain.md", "[a](notebooks/langchain.ipynb)", "[a](notebooks/langchain.md)"),
        ("indexing.md", "```text\n[a](../SECURITY.md)\n```", "```text\n[a](../SECURITY.md)\n```"),
    ],
)
def test_links_out_of_docs_lead_to_the_repository(hooks: ModuleType, page: str, link: str, leads_to: str) -> None:
    assert hooks.leave_docs(link, page, "R") == leads_to


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ("<img alt=a src=//cdn.example/x.png>", True),
        ('<link rel="stylesheet" href="https://fonts.example/x.css">', True),
        ("@font-face{src:url(https://fonts.example/x.woff2)}", True),
        ('<a href="https://example.org">a link is no request</a><img src="x.png"><link href="a.css">', False),
    ],
)
def test_a_request_to_another_host_is_recognised(page: str, found: bool) -> None:
    assert bool(OUTSIDE.search(page)) == found


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_nothing_of_another_host(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    pages = [*(tmp_path / "site").rglob("*.html"), *(tmp_path / "site").rglob("*.css")]
    assert len(pages) > 40
    assert not {found for page in pages for found in OUTSIDE.findall(page.read_text(encoding="utf-8"))}
    # These make Material's script ask for mermaid's code, and for a repository's stars.
    html = "".join(page.read_text(encoding="utf-8") for page in pages if page.suffix == ".html")
    assert 'class="mermaid"' not in html
    assert 'data-md-component="source"' not in html


def test_a_notebook_is_a_page_of_its_text_code_and_output(hooks: ModuleType) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "\n", "b"]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": [{"text": ["1\n"]}]},
        {"cell_type": "code", "source": ["2"], "outputs": [{"data": {"text/plain": ["2"]}}]},
        {"cell_type": "code", "source": ["x = 1"], "outputs": []},
    ]
    assert hooks.notebook_page({"cells": cells}) == (
        "# A\n\nb\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\n2\n```\n\n```text\n2\n```\n\n"
        "```python\nx = 1\n```\n"
    )
