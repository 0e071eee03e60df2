"""Rules of the house that a reader can't see in one file: who imports whom, what importing costs, what is public."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import resift

ROOT = Path(__file__).parent.parent
SOURCE = Path(resift.__file__).parent
FRAMEWORKS = ("langchain", "langchain_core", "llama_index")


def imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return found | {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}


def test_an_import_path_in_a_string_runs_one_way_too() -> None:
    """`lint-imports` holds import statements to the layers of pyproject.toml; factories name modules in strings."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    floors = {room.strip(): -row for row, line in enumerate(contract["layers"]) for room in line.split("|")}
    seen = 0
    for file in SOURCE.rglob("*.py"):
        room = file.relative_to(SOURCE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and (named := re.fullmatch(r"resift\.(\w+)[\w.]*:\w+", text)):
                seen += 1
                assert named[1] == room or floors[named[1]] < floors[room], f"{file} names {text}"
    assert seen > 10


def test_nothing_in_the_core_knows_a_framework() -> None:
    for file in SOURCE.rglob("*.py"):
        assert not {module.split(".")[0] for module in imports(file)} & set(FRAMEWORKS), file


def test_no_file_is_two_rooms() -> None:
    long = {file.name: lines for file in SOURCE.rglob("*.py") if (lines := len(file.read_text().splitlines())) > 400}
    assert not long


def test_every_public_name_is_there_sorted_and_documented() -> None:
    assert resift.__all__ == sorted(resift.__all__)
    assert len(resift.__all__) < 40
    for name in resift.__all__:
        assert getattr(resift, name).__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="nothing"):
        resift.nothing  # noqa: B018 - the attribute access is the test


def test_the_table_of_public_names_says_what_the_imports_for_type_checkers_say() -> None:
    tree = ast.parse(Path(resift.__file__).read_text(encoding="utf-8"))
    typed = {
        name.asname: node.module.removeprefix("resift.")
        for block in tree.body
        if isinstance(block, ast.If)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }
    assert typed == resift._HOMES


def test_tab_completion_shows_the_public_names_before_they_are_used() -> None:
    check = "import resift; assert dir(resift) == resift.__all__; assert 'Reranker' in dir(resift)"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_importing_is_light() -> None:
    check = """
import sys
import resift
heavy = [name for name in ("numpy", "onnxruntime", "tokenizers", "torch", "chromadb", "rich") if name in sys.modules]
assert not heavy, heavy
rooms = [name for name in sys.modules if name.startswith("resift.")]
assert not rooms, rooms
import resift.reranking.reranker
heavy = [name for name in ("onnxruntime", "torch", "chromadb", "sqlite3") if name in sys.modules]
assert not heavy, heavy
import resift.bulk
heavy = [name for name in ("ray", "pyarrow", "onnxruntime", "starlette") if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


@pytest.mark.parametrize("model", ["resift:small", "resift:tiny"])
def test_a_first_ranking_loads_nothing_that_it_does_not_use(model: str) -> None:
    check = """
import sys
import resift
resift.Reranker(sys.argv[1]).rank("what eats bamboo?", ["pandas"])
unused = (
    "asyncio", "sqlite3", "difflib", "torch", "chromadb", "rich", "typer", "yaml", "markdown_it", "sentencex",
    "resift.explanation", "resift.report", "resift.models.catalogue", "resift.models.contents",
)
heavy = [name for name in unused if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", check, model], check=True, timeout=60)


def test_the_help_loads_nothing_of_what_commands_do() -> None:
    check = """
import sys
from resift.cli.app import app
app(["--help"], prog_name="resift", standalone_mode=False)
unused = ("numpy", "onnxruntime", "tokenizers", "asyncio", "sqlite3", "yaml", "resift.report", "resift.engines")
heavy = [name for name in unused if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_what_runs_needs_no_library_of_what_measures_and_trains() -> None:
    check = """
import importlib, sys
eval_and_train = "bm25s ir_measures matplotlib onnx openvino pyarrow ray sentence_transformers torch transformers"
sys.modules.update(dict.fromkeys(eval_and_train.split()))  # None: as if it were not installed
for module in (
    "cli.playground", "playground.asgi", "playground.judgements", "playground.session", "mcp", "serving.asgi",
    "serving.server", "chroma", "documents", "services.rerank.scorer", "tracing", "adapters",
):
    importlib.import_module(f"resift.{module}")
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


MISSING = [
    ("resift.chroma", "chromadb", "chroma"),
    ("resift.engines.pytorch.sentence_transformers", "sentence_transformers", "sentence-transformers"),
    ("resift.engines.openvino", "openvino", "openvino"),
    ("resift.services.rerank.scorer", "httpx", "remote"),
    ("resift.engines.pytorch.late_interaction", "sentence_transformers", "late-interaction"),
    ("resift.engines.pytorch.generative", "transformers", "sentence-transformers"),
    ("resift.export.pair", "onnx", "export"),
    ("resift.export.pair", "torch", "export"),
    ("resift.export.pair", "sentence_transformers", "export"),
    ("resift.networks.split", "torch", "export"),
    ("resift.explanation.torch_methods", "torch", "sentence-transformers"),
    ("resift.export.int8_weights", "onnx", "export"),
    ("resift.services.llm.endpoint", "httpx", "remote"),
    ("resift.evaluation", "ir_measures", "eval"),
    ("resift.evaluation.plot", "matplotlib", "eval"),
    ("resift.bulk.parquet", "pyarrow", "scale"),
    ("resift.bulk.ray_data", "ray", "scale"),
    ("resift.serving.ray_serve", "ray", "scale"),
    ("resift.serving.asgi", "starlette", "serve"),
    ("resift.tracing", "opentelemetry", "otel"),
    ("resift.mcp", "mcp", "mcp"),
    ("resift.playground.asgi", "starlette", "playground"),
    ("resift.playground.asgi", "uvicorn", "playground"),
    ("resift.training", "datasets", "train"),
    ("resift.training.pairs", "accelerate", "train"),
]


def test_a_missing_library_names_its_extra() -> None:
    """Each in a process of its own, which is forked from one that has the libraries that take seconds to import."""
    check = f"""
import contextlib, gc, importlib, os, sys, traceback
gc.disable()  # it would visit all of them time and again
for heavy in ("numpy", "onnxruntime", "onnx", "httpx", "torch", "transformers.modeling_utils", "chromadb"):
    with contextlib.suppress(ImportError):
        importlib.import_module(heavy)
assert not any(name.startswith("resift") for name in sys.modules)

def check(module, library, extra):
    for name in list(sys.modules):
        if name.split(".")[0] == library:
            del sys.modules[name]
    sys.modules[library] = None  # as if it were not installed
    from resift import MissingExtraError
    try:
        importlib.import_module(module)
    except MissingExtraError as error:
        assert f"pip install 'resift[{{extra}}]'" in str(error), error
        assert error.__cause__ is not None
    else:
        raise AssertionError("no error")

failed = []
for case in {MISSING!r}:
    if not (child := os.fork()):
        try:
            check(*case)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(case)
assert not failed, failed
"""
    result = subprocess.run([sys.executable, "-c", check], timeout=120, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
