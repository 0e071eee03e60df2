"""The notebooks run, from raw files to a cited answer, and print what is stored in them. An LLM's stand-in answers."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs/notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_and_prints_what_is_stored(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        printed = _run("".join(cell["source"]), f"{notebook.stem}, cell {number}", namespace)
        stored = "".join("".join(output["text"]) for output in cell["outputs"])
        assert printed == stored, f"{notebook.name}, cell {number}: run it again and save it"
        assert cell["execution_count"] == number
    cited = printed.partition("characters ")[2]
    start, _, end = cited.partition(":")[0].split()
    assert len(cited.partition(": ")[2].strip()) == int(end) - int(start), "the citation's place is that of its text"


def _run(source: str, name: str, namespace: dict[str, Any]) -> str:
    """Run a cell as a notebook does, where a cell may `await`."""
    out = io.StringIO()
    with redirect_stdout(out):
        result = eval(compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return out.getvalue()


def test_there_are_notebooks_for_both_frameworks() -> None:
    assert [notebook.stem for notebook in NOTEBOOKS] == ["langchain", "llama-index"]
