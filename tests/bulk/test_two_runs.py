"""Two runs at once on one target: the second ends with one line, and the first is as if it had been alone."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bulk_rows
import pytest
from bulk_rows import read, write

from resift import InputError
from resift.bulk import BulkJob, score_files
from resift.testing import OverlapScorer

RUN = """
import sys, time
from pathlib import Path
from resift.bulk import BulkJob, score_files
from resift.testing import OverlapScorer

class Slow(OverlapScorer):
    def score(self, query, documents):
        Path(sys.argv[3]).touch()
        while Path(sys.argv[3]).exists():
            time.sleep(0.01)
        return super().score(query, documents)

score_files(BulkJob(sys.argv[1], sys.argv[2], block_rows=30), Slow())
"""


@contextmanager
def running(source: Path, target: Path, mark: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process of its own, which waits in its scorer until `mark` is deleted."""
    with subprocess.Popen([sys.executable, "-c", RUN, str(source), str(target), str(mark)]) as process:
        try:
            while not mark.exists():
                assert process.poll() is None
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("end", ["", ".jsonl"], ids=["folder", "file"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_run_ends_with_one_line(tmp_path: Path, end: str, overwrite: bool) -> None:
    source, target, mark = write(tmp_path / "in.jsonl", bulk_rows.rows()), tmp_path / f"out{end}", tmp_path / "mark"
    command = [sys.executable, "-m", "resift", "score", str(source), str(target), "--block-rows", "30"]
    with running(source, target, mark) as first:
        second = subprocess.run(
            [*command, *["--overwrite"] * overwrite], capture_output=True, text=True, timeout=120, check=False
        )
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1, second.stderr
        assert f"{target}: another run writes there at this moment (process {first.pid} on " in second.stderr
        with pytest.raises(InputError, match="another run writes there"):
            score_files(BulkJob(source, target, block_rows=30, overwrite=overwrite), OverlapScorer())
        for _ in range(1000):  # calls of the scorer
            mark.unlink(missing_ok=True)
            if first.poll() is not None:
                break
            time.sleep(0.02)
        assert first.returncode == 0
    assert [row["id"] for row in read(target)] == list(range(57))
    names = {path.name for path in tmp_path.iterdir()} - {"mark"}
    assert names == {"in.jsonl", target.name}
    if not end:
        assert not [path.name for path in target.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("end", ["", ".jsonl"], ids=["folder", "file"])
def test_the_lock_ends_with_its_process(tmp_path: Path, end: str) -> None:
    source, target = write(tmp_path / "in.jsonl", bulk_rows.rows()), tmp_path / f"out{end}"
    with running(source, target, tmp_path / "mark") as first:
        first.send_signal(signal.SIGKILL)
    assert score_files(BulkJob(source, target, block_rows=30), OverlapScorer()).rows == 57
    assert [row["id"] for row in read(target)] == list(range(57))


def test_a_run_in_the_same_process_is_another_run(tmp_path: Path) -> None:
    job = BulkJob(write(tmp_path / "in.jsonl", bulk_rows.rows()), tmp_path / "out", block_rows=30)
    errors: list[InputError] = []

    def again(done: int, rows: int) -> None:
        with pytest.raises(InputError, match="another run writes there") as error:
            score_files(job, OverlapScorer())
        errors.append(error.value)

    score_files(job, OverlapScorer(), progress=again)
    assert len(errors) == 3


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    job = BulkJob(write(tmp_path / "in.jsonl", bulk_rows.rows()), tmp_path / "out", block_rows=30)
    children: list[int] = []

    def fork(done: int, rows: int) -> None:
        if not children:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
        elif done < rows:
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            score_files(job, OverlapScorer(), progress=fork)
        assert score_files(job, OverlapScorer()).rows == 57
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_without_locks_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    job = BulkJob(write(tmp_path / "in.jsonl", bulk_rows.rows()), tmp_path / "out.jsonl")
    assert score_files(job, OverlapScorer()).rows == 57
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_an_error_leaves_no_lock_and_no_empty_folder(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", bulk_rows.rows())
    score_files(BulkJob(source, tmp_path / "out.jsonl"), OverlapScorer())
    with pytest.raises(InputError, match="is there already"):
        score_files(BulkJob(source, tmp_path / "out.jsonl"), OverlapScorer())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
