"""resift and its peers on the same weights and the same passages, in turns, so that other load affects all alike.

    pip install -e ".[export,openvino,eval]" "torch<2.14" llama-index-postprocessor-sbert-rerank langchain-community \
        langchain-classic rerankers flashrank fastembed
    python benchmarks/peers.py --json peers.json --plot docs/peers

A peer that is not installed or can't load the model gets a row that says so.

- `--check` compares the scores and measures no time.
- `--effort` is quick (minutes), usual (a quarter of an hour) or full (hours: up to 1,000 passages, and their memory).
- `--model` takes a folder of weights; without it, weights are random, in MiniLM-L6's shape.

Every ONNX peer gets the graph that torch's exporter writes, and the int8 version that onnxruntime makes of it, with one
scale per channel.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}

import typer

from report import environment, installed_bytes, plot, print_rows, product_peaks, show
from systems import BASELINE, SYSTEMS, Loaded, make_folders
from workload import LENGTHS, QUERY, build_model, passages

TOLERANCE = 1e-3  # of a score between 0 and 1
CALLERS = 16


class Effort(NamedTuple):
    """How much is measured."""

    counts: tuple[int, ...]
    rounds: int
    max_tokens: int
    """Lists with more tokens are left out: they take minutes per round."""
    shared: tuple[int, ...]
    """Lengths of the lists that many callers also rank at once."""
    long_passages: int
    """Length of the list that peak memory is measured with."""


EFFORTS = {
    "quick": Effort((10, 30), 2, 4_000, (10,), 30),
    "usual": Effort((10, 100), 3, 12_000, (10,), 100),
    "full": Effort((10, 30, 100, 300, 1000), 5, 120_000, (10, 100), 1000),
}


@dataclass(frozen=True)
class Cell:
    """One measurement: medians over rounds, in milliseconds."""

    system: str
    length: str
    candidates: int
    callers: int
    median: float
    fastest: float
    ratio: float
    """How many times faster than the baseline."""


def main(
    model: Annotated[Path | None, typer.Option(help="Folder of a BERT cross-encoder.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="These systems.")] = None,
    effort: Annotated[Literal["quick", "usual", "full"], typer.Option(help="How much is measured.")] = "usual",
    check: Annotated[bool, typer.Option("--check", help="Compare scores, time nothing.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="All figures.")] = None,
    plot_stem: Annotated[Path | None, typer.Option("--plot", help="Write STEM.svg and STEM.png.")] = None,
    probe: Annotated[str | None, typer.Option("--probe", hidden=True)] = None,
    work: Annotated[Path | None, typer.Option("--work", help="Keep the model's exported forms here.")] = None,
) -> None:
    """Compare the systems and print tables."""
    if probe is not None and work is not None:
        run_probe(probe, work, EFFORTS[effort].long_passages)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        weights = model or folder / "weights"
        if model is None and not weights.exists():
            build_model(weights)
        make_folders(weights, folder)
        loaded, absent = load_all(folder, only or list(SYSTEMS))
        problems = compare(loaded)
        if check:
            raise typer.Exit(1 if problems else 0)
        cells = list(measure(loaded, EFFORTS[effort]))
        starts = {name: measure_start(name, folder, effort) for name in loaded}
        sizes = {name: installed_bytes(SYSTEMS[name].installs) for name in loaded}
        results = {
            "environment": environment(),
            "product_gflops": product_peaks(),
            "cells": [asdict(cell) for cell in cells],
            "start": starts,
            "installed_bytes": sizes,
            "absent": absent,
        }
        print_rows(results)
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if plot_stem is not None:
        plot(results, plot_stem)


def load_all(folder: Path, names: list[str]) -> tuple[dict[str, Loaded], dict[str, str]]:
    """Return the systems that load, by name, and the reason for each that doesn't."""
    loaded, absent = {}, {}
    for name in names:
        try:
            loaded[name] = SYSTEMS[name].load(folder)
        except Exception as error:  # a peer may fail in any way; the table says how
            absent[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
            show(f"{name}: not measured, {absent[name]}")
    return loaded, absent


def compare(loaded: dict[str, Loaded]) -> list[str]:
    """Print every system's largest difference from the baseline; return the float32 systems that differ too much."""
    texts = passages(24, "mixed")
    scores = {
        name: list(system.read(system.rank(QUERY, system.prepare(texts)), len(texts)))
        for name, system in loaded.items()
    }
    expected = scores.get(BASELINE) or next(iter(scores.values()))
    problems = []
    for name, values in scores.items():
        difference = max(abs(value - other) for value, other in zip(values, expected, strict=True))
        wrong = SYSTEMS[name].exact and difference > TOLERANCE
        problems += [name] if wrong else []
        kind = "DIFFERS" if wrong else "same" if SYSTEMS[name].exact else "other weights or precision"
        show(f"{name}: largest difference of a score (0 to 1) {difference:.1e}, {kind}")
    return problems


def measure(loaded: dict[str, Loaded], effort: Effort) -> Iterator[Cell]:
    """Measure every system on every list. The systems take turns, in a new order each round."""
    rng = random.Random(5)
    for length in LENGTHS:
        for count in effort.counts:
            texts = passages(count, length)
            if sum(map(len, texts)) / 4 > effort.max_tokens:
                continue
            for callers in (1, CALLERS) if count in effort.shared and length == "mixed" else (1,):
                times: dict[str, list[float]] = {name: [] for name in loaded}
                for _ in range(effort.rounds):
                    for name in rng.sample(list(loaded), len(loaded)):
                        times[name].append(time_callers(loaded[name], texts, callers))
                medians = {name: statistics.median(values) for name, values in times.items()}
                reference = medians.get(BASELINE, float("nan"))
                for name, values in times.items():
                    yield Cell(name, length, count, callers, medians[name], min(values), reference / medians[name])
                show(f"{length}, {count} candidates, {callers} callers: done")


def time_callers(system: Loaded, texts: list[str], callers: int) -> float:
    """Return the milliseconds until all callers have their ranking."""
    prepared = [system.prepare(texts) for _ in range(callers)]
    started = time.perf_counter()
    if callers == 1:
        system.rank(QUERY, prepared[0])
    else:
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda items: system.rank(QUERY, items), prepared))
    return 1000 * (time.perf_counter() - started)


def measure_start(name: str, folder: Path, effort: str) -> dict[str, float]:
    """Start a new process; return seconds until its first ranking of 10, and its peak memory (MB) with a long list."""
    command = [sys.executable, __file__, "--probe", name, "--work", str(folder), "--effort", effort]
    runs = []
    for _ in range(3 if effort == "full" else 1):
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            first = next((line for line in process.stdout if line.startswith("ranked")), None)
            seconds = time.perf_counter() - started
            memory = next((line for line in process.stdout if line.startswith("memory")), "memory nan")
        if first is None:
            return {"first_result_seconds": float("nan"), "peak_megabytes": float("nan")}
        runs.append((seconds, float(memory.split()[1])))
    return {
        "first_result_seconds": statistics.median(seconds for seconds, _ in runs),
        "peak_megabytes": max(memory for _, memory in runs),
    }


def run_probe(name: str, folder: Path, count: int) -> None:
    """Rank 10 passages and print a line, then rank `count` long ones and print the peak memory of this process."""
    loaded = SYSTEMS[name].load(folder)
    loaded.rank(QUERY, loaded.prepare([f"a wolf, a shepherd and sheep number {n}" for n in range(10)]))
    show("ranked")
    loaded.rank(QUERY, loaded.prepare(passages(count, "long")))
    # Linux only. getrusage would give the parent's peak, which a child inherits.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    show(f"memory {int(status.partition('VmHWM:')[2].split()[0]) / 1024:.0f}")


if __name__ == "__main__":
    typer.run(main)
