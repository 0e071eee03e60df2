"""Bulk scoring that is killed, fails or is started again: no row is lost or repeated, no two runs are mixed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bulk_rows
import pytest
from bulk_rows import DOCUMENTS, QUERIES, read, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resift import InputError, Scale, ScorerError
from resift.bulk import BulkJob, score_files
from resift.testing import OverlapScorer


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return bulk_rows.rows()


@dataclass
class Failing:
    """A scorer whose call number `at` fails, once."""

    at: int
    name: str = "failing"
    scale: Scale = Scale.PROBABILITY
    calls: Iterator[int] = field(default_factory=itertools.count)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        if next(self.calls) == self.at:
            raise OSError("disk")
        return OverlapScorer().score(query, documents)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=3).filter(any),
    block_rows=st.integers(1, 5),
    at=st.integers(0, 30),
)
def test_no_row_is_lost_or_repeated(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], block_rows: int, at: int
) -> None:
    """Whatever the files hold and wherever it fails: a second run completes the first."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "in").mkdir()
    number = itertools.count()
    for file, count in enumerate(counts):
        write(
            folder / "in" / f"{file}.jsonl",
            [{"id": next(number), "query": QUERIES[0], "document": DOCUMENTS[row % 3]} for row in range(count)],
        )
    job = BulkJob(folder / "in", folder / "out.jsonl", block_rows=block_rows)
    scorer = Failing(at)
    try:
        score_files(job, scorer)
    except ScorerError:
        score_files(job, scorer)
    scored = read(folder / "out.jsonl")
    assert [row["id"] for row in scored] == list(range(sum(counts)))
    assert all(row["score"] == OverlapScorer().score(row["query"], [row["document"]])[0] for row in scored)


def test_a_second_run_keeps_the_blocks_that_are_done(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    job = BulkJob(write(tmp_path / "in.jsonl", rows), tmp_path / "out", block_rows=10)
    with pytest.raises(ScorerError, match="disk"):
        score_files(job, Failing(at=6))
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert 0 < len(done) < 6
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    progress: list[tuple[int, int]] = []
    report = score_files(job, Failing(at=99), progress=lambda *counts: progress.append(counts))
    assert (report.rows, report.done_before) == (57, 10 * len(done))
    assert progress[0] == (10 * len(done), 57)
    assert progress[-1] == (57, 57)
    for name, changed in done.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == changed


@pytest.mark.slow  # several processes
def test_a_second_run_completes_that_of_a_killed_process(tmp_path: Path) -> None:
    rows = [{"id": n, "query": QUERIES[n % 3], "document": f"{DOCUMENTS[n % 5]} {n}"} for n in range(400)]
    write(tmp_path / "in.jsonl", rows)
    arguments = ["score", "in.jsonl", "out.jsonl", "--block-rows", "4", "--threads", "1"]
    command = [sys.executable, "-m", "resift", *arguments]
    parts = tmp_path / "out.jsonl.parts"
    with subprocess.Popen(command, cwd=tmp_path) as running:
        while not list(parts.glob("part-*")) and running.poll() is None:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL, "it was done before it could be killed"
    done = len(list(parts.glob("part-*")))
    assert 0 < done < 100
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert "400 rows scored by resift:small" in again.stdout
    assert f"note: {4 * done} of them by an earlier run" in again.stderr
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == list(range(400))
    assert not parts.exists()


def test_a_part_that_was_not_written_whole_does_not_count(
    tmp_path: Path, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = BulkJob(write(tmp_path / "in.jsonl", rows), tmp_path / "out", block_rows=10)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            score_files(job, OverlapScorer())
    assert list((tmp_path / "out").iterdir()) == [] or not list((tmp_path / "out").glob("*part-*"))
    score_files(job, OverlapScorer())
    assert [row["id"] for row in read(tmp_path / "out")] == list(range(57))


def test_earlier_output_is_kept_without_overwrite(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write(tmp_path / "in.jsonl", rows)
    for target in ("out", "out.jsonl"):
        job = BulkJob(tmp_path / "in.jsonl", tmp_path / target)
        score_files(job, OverlapScorer())
        with pytest.raises(InputError, match=r"is (there|finished) already; --overwrite .* replaces it"):
            score_files(job, OverlapScorer())
        score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / target, overwrite=True), OverlapScorer("other"))
    with pytest.raises(InputError, match="holds a run with another model"):
        score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out"), OverlapScorer())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is not empty, and holds no run"):
            score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "mine", overwrite=overwrite), OverlapScorer())


def test_a_run_of_a_changed_input_is_not_continued(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    job = BulkJob(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", block_rows=10)
    with pytest.raises(ScorerError):
        score_files(job, Failing(at=6))
    write(tmp_path / "in.jsonl", rows[1:])
    with pytest.raises(InputError, match=r"out.jsonl.parts holds a run with another input, blocks"):
        score_files(job, Failing(at=99))
    again = BulkJob(tmp_path / "in.jsonl", tmp_path / "out.jsonl", block_rows=10, overwrite=True)
    with pytest.raises(ScorerError):
        score_files(again, Failing(at=6))
    report = score_files(again, Failing(at=99))  # the very same call goes on, it doesn't overwrite again
    assert report.done_before > 0
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == list(range(1, 57))
