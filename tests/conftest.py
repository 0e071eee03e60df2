"""Every test runs offline, in the same environment on every terminal, with small models that are built once per run."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from build_once import BuildOnce
from hypothesis import HealthCheck, settings
from pytest_socket import enable_socket, socket_allow_hosts

if TYPE_CHECKING:
    from browser import Browser

    from resift import Reranker

# Nothing above or below imports NumPy, torch or the hub's library before these are set.
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "ANONYMIZED_TELEMETRY": "False"}
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"):
    os.environ.pop(name, None)
    # Once more for C: `readline`, which pytest imports, sets the terminal's size behind Python's back, and every child
    # process inherits it, the workers of pytest-xdist too.
    os.unsetenv(name)

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
MAX_WORKERS = 8  # of up to 1.5 GB
if WORKERS > 1:  # threads of torch and NumPy: more than there are cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, CORES // WORKERS)))

# On a busy machine an example may take any time.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one worker more than cores, since some tests wait for Ray, a server or a deadline, and do nothing.

    A single test file gets no worker: it is done before workers are up.
    """
    paths = {argument.partition("::")[0] for argument in config.args}
    if len(paths) == 1 and (config.invocation_params.dir / paths.pop()).is_file():
        return 0
    return min(CORES + 1, MAX_WORKERS)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while the test files are imported, and never look again at what they brought.

    They bring 9,000 modules that stay, which Python's collector would visit time and again: a third of the time that
    collecting tests takes, in each worker.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the long runs of tests/reliability measured, which the workers of pytest-xdist send along."""
    if "reliability" not in config.option.markexpr.replace("not reliability", ""):
        return
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "figure":
                terminalreporter.write_line(f"{value} ({report.duration:.0f} s)")


@pytest.fixture(autouse=True)
def offline() -> Iterator[None]:
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(scope="session")
def bundled() -> Reranker:
    from resift import Reranker

    return Reranker(long_documents="max_window")


@pytest.fixture(scope="session")
def overlap() -> Reranker:
    """A reranker that counts common words, which loads nothing."""
    from resift import Reranker
    from resift.testing import OverlapScorer

    return Reranker(OverlapScorer())


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser; the test is skipped where there is none, and fails there if RESIFT_REQUIRE_BROWSER is set."""
    from browser import Browser, find_browser

    opened = Browser(find_browser())
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> BuildOnce:
    """(name, build) → the folder that `build(folder)` has filled, once per run."""
    base = tmp_path_factory.getbasetemp()
    return BuildOnce((base.parent if WORKERS > 1 else base) / "built-once")


@pytest.fixture(scope="session")
def tiny_multilingual(build_once: BuildOnce) -> Path:
    """The folder `model` of a package like `resift_multilingual`, with a tiny network of random weights."""
    import split_models

    return build_once("multilingual", split_models.export_multilingual) / "model"


@pytest.fixture
def multilingual(tiny_multilingual: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in place of the installed one, so that `resift:multilingual` is the tiny network."""
    return _install_multilingual(tiny_multilingual, monkeypatch)


@pytest.fixture
def no_multilingual(monkeypatch: pytest.MonkeyPatch) -> None:
    """`resift:multilingual` as if it were not installed."""
    monkeypatch.setitem(sys.modules, "resift_multilingual", None)


def _install_multilingual(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    spec = importlib.util.spec_from_file_location("resift_multilingual", folder.parent / "__init__.py")
    assert spec is not None
    monkeypatch.setitem(sys.modules, "resift_multilingual", importlib.util.module_from_spec(spec))
    return folder


@pytest.fixture(scope="session")
def saved(build_once: BuildOnce) -> Callable[[str], Path]:
    """architecture → its random-weight model's folder, as `save_pretrained` writes it."""
    import random_models

    def folder(architecture: str) -> Path:
        return build_once(f"saved/{architecture}", lambda path: random_models.build(architecture, path))

    return folder


@pytest.fixture(scope="session")
def exported(saved: Callable[[str], Path], build_once: BuildOnce) -> Callable[..., Path]:
    """architecture, precision="float32" → the same model exported to ONNX."""
    from resift.export.pair import export_model

    def folder(architecture: str, precision: str = "float32") -> Path:
        source = str(saved(architecture))
        return build_once(
            f"exported-{precision}/{architecture}", lambda path: export_model(source, path, precision=precision)
        )

    return folder
