"""Everything that is written runs: the code blocks of README and docs, with their printed output, and doctests.

Per page, ```python blocks share one namespace and an empty folder; a ```text block after a block is its output.
In ```console blocks, lines that start with `$ resift` run in the same folder, which holds a copy of docs/, and what
follows is their output, where `...` stands for anything. Installing (`$ pip`) is `.ci/run`'s job.

To save time, commands run in the process of the tests, but for those of README.md; and of docs/ only the short files
and those that a search of the page finds are there, which take a fraction of the time to index. A slow test has all of
them; eight pages are slow tests too.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from typer.testing import CliRunner

import resift
from resift.cli.app import app

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SLOW_PAGES = ("evaluation", "training", "hybrid", "explain", "reports", "kept-states", "multilingual")
SLOW_PATHS = (*(f"docs/{page}.md" for page in SLOW_PAGES), "models/multilingual/README.md")
SLOW = dict.fromkeys(SLOW_PATHS, pytest.mark.slow)  # 10 s and more, or the large model
PAGES = sorted(
    [README, *ROOT.glob("docs/**/*.md"), *ROOT.glob("integrations/*/README.md"), *ROOT.glob("models/*/README.md")],
    key=lambda page: page.relative_to(ROOT),
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "text", "console", "toml", "json", "mermaid", "diff"}
"""A `diff` shows what changes in code that needs a library which the tests don't install."""
SHORT_FILE_BYTES = 2500
NAMED = re.compile(r"(?:^\d+\. |^\$ resift .*)docs/([\w-]+\.md)", re.MULTILINE)
"""A file that a page's search finds, or that a command of it reads."""


@pytest.fixture
def empty_ephemeral_chroma() -> Iterator[None]:
    """Delete what a page leaves in Chroma's memory, which is the same for all clients of a process."""
    yield
    if "chromadb" in sys.modules:
        client = sys.modules["chromadb"].EphemeralClient()
        for collection in client.list_collections():
            client.delete_collection(collection.name)


@pytest.mark.usefixtures("empty_ephemeral_chroma")
@pytest.mark.parametrize(
    ("page", "whole"),
    [
        *(
            pytest.param(page, False, id=(name := str(page.relative_to(ROOT))), marks=SLOW.get(name, ()))
            for page in PAGES
        ),
        pytest.param(README, True, id="README.md over all of docs", marks=pytest.mark.slow),
    ],
)
def test_every_block_runs_and_prints_what_it_says(
    page: Path, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    named = set(NAMED.findall(page.read_text(encoding="utf-8")))
    for file in filter(Path.is_file, (ROOT / "docs").iterdir()):
        if whole or file.suffix != ".md" or file.name in named or file.stat().st_size <= SHORT_FILE_BYTES:
            shutil.copy(file, tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    run_command = _run_in_process_of_its_own if page == README else _run_command
    namespace: dict[str, object] = {"__name__": "page"}
    printed = ""
    for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        assert language in LANGUAGES, f"{page.name}: ```{language} is never run; use one of {sorted(LANGUAGES)}"
        if language == "python":
            printed = _run_python(code, namespace, page)
        elif language == "console":
            for command, expected in _commands(code):
                _check_output(run_command(command), expected, f"{page.name}: $ {command}")
        elif language == "text":
            _check_output(printed, code, f"{page.name}: output of the block before")


def _run_python(code: str, namespace: dict[str, object], page: Path) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        # As a notebook does: a block may `await`.
        compiled = compile(code, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(compiled, namespace)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return out.getvalue()


def _commands(code: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        if command.startswith("resift"):
            yield command, expected


def _run_command(command: str) -> str:
    """Return what the command prints, or its error. It runs in this process, which has imported all libraries."""
    result = CliRunner().invoke(app, shlex.split(command, comments=True)[1:], catch_exceptions=False)
    assert result.exit_code == 0 or result.stderr, command
    return result.stdout if result.exit_code == 0 else result.stderr


def _run_in_process_of_its_own(command: str) -> str:
    arguments = shlex.split(command, comments=True)[1:]
    run = subprocess.run(
        [sys.executable, "-m", "resift", *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0 or run.stderr, command
    return run.stdout if run.returncode == 0 else run.stderr


def _check_output(output: str, expected: str, where: str) -> None:
    if not expected.strip():
        return
    pattern = re.escape(_strip_lines(expected)).replace(re.escape("..."), ".*")
    matches = re.fullmatch(pattern, _strip_lines(output), re.DOTALL)
    assert matches, f"{where}\n--- expected\n{expected}\n--- output\n{output}"


def _strip_lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _modules() -> list[str]:
    return sorted(
        module.name
        for module in pkgutil.walk_packages(resift.__path__, "resift.")
        if not module.name.endswith("__main__")
    )


@pytest.mark.parametrize("module", _modules())
def test_doctests(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0


def test_doctests_are_found_at_all() -> None:
    found = sum(
        doctest.testmod(importlib.import_module(module)).attempted
        for module in ("resift.reranking.reranker", "resift.scorer.scores", "resift.scorer.wrapper")
    )
    assert found >= 3
