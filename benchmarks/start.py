"""What a new process costs: processor time until a first ranking, and peak memory after 100 long passages.

    python benchmarks/start.py --before ../older/src

Each measurement is a process of its own, with one thread. With another checkout's `src` folder the two take turns, and
the last column says how many times as much the other one needs. Peak memory is read on Linux only.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

HERE = Path(__file__).parent
FIRST = """
import sys
from resift import Reranker
Reranker(sys.argv[1]).rank("what eats bamboo?", [f"a wolf, a shepherd and sheep number {n}" for n in range(10)])
"""
LONG = """
import sys
from resift import Reranker
from workload import QUERY, passages
Reranker(sys.argv[1], threads=1).rank(QUERY, passages(100, "long"))
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""
HELP = "from resift.cli.app import app; app(['--help'], prog_name='resift')"


def main(
    before: Annotated[Path | None, typer.Option("--before", help="The `src` folder of another checkout.")] = None,
    rounds: Annotated[int, typer.Option("--rounds")] = 9,
) -> None:
    """Print a row for each figure: the medians, and the ratio of the two."""
    sources = [HERE.parent / "src", *([] if before is None else [before.resolve()])]
    for model in ("resift:small", "resift:tiny", "resift:fast"):
        _print_row(f"{model}, first result, ms", partial(_processor_time, FIRST, model), sources, rounds)
    _print_row("resift --help, ms", partial(_processor_time, HELP, ""), sources, rounds)
    _print_row("resift:small, 100 long passages, MB", partial(_peak_memory, "resift:small"), sources, 1)


def _print_row(name: str, measure: Callable[[Path], float], sources: list[Path], rounds: int) -> None:
    values: list[list[float]] = [[] for _ in sources]
    for _ in range(rounds):
        for source, measured in zip(sources, values, strict=True):
            measured.append(measure(source))
    medians = [statistics.median(measured) for measured in values]
    ratio = f"{medians[1] / medians[0]:8.2f}" if len(medians) == 2 else ""
    typer.echo(f"{name:38}{''.join(f'{median:9.0f}' for median in medians)}{ratio}")


def _processor_time(code: str, argument: str, source: Path) -> float:
    """Return the milliseconds of processor time, user and system, that a process with this code takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(code, argument, source)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _peak_memory(model: str, source: Path) -> float:
    """Return the megabytes that a process has needed at most when it has ranked 100 long passages."""
    return int(_run(LONG, model, source)) / 1024


def _run(code: str, argument: str, source: Path) -> str:
    paths = os.pathsep.join((str(source), str(HERE)))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, argument]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    typer.run(main)
