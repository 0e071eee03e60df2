"""A training run that is killed again and again, or whose checkpoints are cut off, ends with the same model.

Single cases: `tests/training/test_kept.py`, `tests/training/test_distill.py`, `tests/training/test_train.py`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import training_forks

from reliability import setting
from resift.demo import fables
from resift.models.manifest import sha256

KILLS = 20
TIMEOUT = 300
RESULT = "out/table.npy"

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]


class Trainings:
    """Runs of one training, in children of a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.source.mkdir()
        rows = [{"_id": story.id, "title": story.metadata["title"], "text": story.text} for story in fables()]
        (self.source / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = [sys.executable, training_forks.__file__]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment)
        self.whole = self.new(folder / "whole")
        self.start(self.whole)
        assert self.end() == 0, self.errors(self.whole)
        self.result = sha256(self.whole / RESULT)

    def new(self, folder: Path) -> Path:
        return Path(shutil.copytree(self.source, folder))

    def start(self, folder: Path) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> int:
        """Wait for the child; return its exit status."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def errors(self, folder: Path) -> str:
        return (folder / "stderr.txt").read_text()[-2000:]

    def complete(self, folder: Path) -> None:
        self.start(folder)
        assert self.end() == 0, self.errors(folder)
        assert sha256(folder / RESULT) == self.result, "another model than that of an uninterrupted run"


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    made = Trainings(tmp_path_factory.mktemp("trainings"))
    with made.process:  # closes its input, and waits
        yield made


def checkpoints(folder: Path) -> set[str]:
    found = (folder / "out").glob("checkpoints/**/checkpoint-*")
    return {place.name for place in found}


def kill_at_a_random_moment(trainings: Trainings, folder: Path, draw: random.Random, longest: float) -> bool:
    """Start a run, and kill it while it trains: so many checkpoints further, and a bit. Return whether it was hit."""
    before = checkpoints(folder)
    child = trainings.start(folder)
    further = draw.randrange(3)
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end and len(checkpoints(folder) - before) < further and not (folder / RESULT).exists():
        time.sleep(0.002)
    time.sleep(draw.random() * longest)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return trainings.end() == -signal.SIGKILL


def test_a_training_run_killed_twenty_times(
    trainings: Trainings, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    wanted = int(setting("RESIFT_KILLS", KILLS))
    draw = random.Random(f"{setting('RESIFT_SEED', 7)}, training")
    kills = runs = resumed = 0
    while kills < wanted:
        folder = trainings.new(tmp_path / str(runs))
        runs += 1
        for _ in range(draw.choice([1, 2, 3, 4])):
            hit = kills < wanted and kill_at_a_random_moment(trainings, folder, draw, 1.0)
            kills += hit
            if not hit:
                break
        if not (folder / RESULT).exists():
            resumed += bool(checkpoints(folder))
            trainings.complete(folder)
            assert resumed == 0 or "going on from" in trainings.errors(folder) or not checkpoints(folder)
        assert sha256(folder / RESULT) == trainings.result
        shutil.rmtree(folder)
    record_property(
        "figure", f"killed, training run: {kills} kills in {runs} runs, {resumed} went on from a checkpoint, 0 wrong"
    )


@pytest.mark.parametrize("how", ["cut", "empty"])
def test_a_checkpoint_that_is_cut_off(
    how: str, trainings: Trainings, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    start = trainings.new(tmp_path / "start")
    child = trainings.start(start)
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end and len(checkpoints(start)) < 2:
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    assert trainings.end() == -signal.SIGKILL
    files = sorted(file.relative_to(start) for file in (start / "out").rglob("*") if file.is_file())
    outcomes = {"completed": 0, "one line": 0}
    for number, file in enumerate(random.Random(7).sample(files, min(12, len(files)))):
        folder = Path(shutil.copytree(start, tmp_path / str(number)))
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(b"" if how == "empty" else data[: len(data) // 2])
        trainings.start(folder)
        if trainings.end() == 0:
            outcomes["completed"] += 1
            assert sha256(folder / RESULT) == trainings.result, f"{file}: another model"
        else:
            outcomes["one line"] += 1
            lines = [line for line in trainings.errors(folder).splitlines() if not line.startswith("note: ")]
            assert len(lines) == 1, f"{file}: {trainings.errors(folder)}"
            assert lines[0].startswith("resift: ")
        shutil.rmtree(folder)
    record_property("figure", f"{how}, training run: of {sum(outcomes.values())} files {outcomes}, 0 wrong")
