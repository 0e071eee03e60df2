"""Parts that are damaged after a kill are scored again, and the output is right to the byte."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bulk_rows
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_rows import write
from typer.testing import CliRunner

from resift.bulk import BulkJob, BulkReport, score_files
from resift.bulk.parts import DONE_FILE
from resift.bulk.record import RECORD_FILE
from resift.cli.app import app
from resift.testing import OverlapScorer

RUN = """
import sys, time
from resift.bulk import BulkJob, score_files
from resift.testing import OverlapScorer

class Slow(OverlapScorer):
    def score(self, query, documents):
        time.sleep(0.005)
        return super().score(query, documents)

score_files(BulkJob(sys.argv[1], sys.argv[2], block_rows=2), Slow())
"""

Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "empty": lambda _: b"",
    "cut to half": lambda content: content[: len(content) // 2],
    "cut by the last line": lambda content: content[: content[:-1].rfind(b"\n") + 1],
    "cut by a byte": lambda content: content[:-1],
    "a flipped bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "a digit more": lambda content: content.replace(b"1", b"2", 1) if b"1" in content else content + b"1",
    "zeros": lambda content: bytes(len(content)),
    "twice": lambda content: content * 2,
}


def stop_after(rows: int) -> Callable[[int, int], None]:
    def stop(done: int, _: int) -> None:
        if done >= rows:
            raise KeyboardInterrupt

    return stop


def source_file(folder: Path, suffix: str) -> Path:
    rows = bulk_rows.rows()
    if suffix == ".jsonl":
        return write(folder / "in.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "in.parquet")
    return folder / "in.parquet"


def visible_parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*"))


def content(target: Path) -> bytes:
    return target.read_bytes() if target.is_file() else b"".join(part.read_bytes() for part in visible_parts(target))


def work_folder(target: Path) -> Path:
    return target.with_name(target.name + ".parts") if target.suffix else target


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_parts_are_scored_again(tmp_path: Path, suffix: str, folder: bool, damage: str) -> None:
    source = source_file(tmp_path, suffix)
    end = "" if folder else suffix
    whole, target = (BulkJob(source, tmp_path / f"{name}{end}", block_rows=7) for name in ("whole", "out"))
    score_files(whole, OverlapScorer())
    with pytest.raises(KeyboardInterrupt):
        score_files(target, OverlapScorer(), progress=stop_after(35))
    parts = visible_parts(work_folder(Path(target.target)))
    assert len(parts) >= 5
    for part in parts[1:]:
        part.write_bytes(DAMAGES[damage](part.read_bytes()))
    report = score_files(target, OverlapScorer())
    assert content(Path(target.target)) == content(Path(whole.target))
    assert (report.rows, report.done_before, report.damaged) == (57, 7, len(parts) - 1)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_a_part_that_is_damaged_during_the_run_is_scored_again(tmp_path: Path, suffix: str, folder: bool) -> None:
    source = source_file(tmp_path, suffix)
    end = "" if folder else suffix
    whole, target = (BulkJob(source, tmp_path / f"{name}{end}", block_rows=7) for name in ("whole", "out"))
    score_files(whole, OverlapScorer())
    damaged: list[Path] = []

    def damage(done: int, rows: int) -> None:
        if done == rows and not damaged:
            damaged.extend(visible_parts(work_folder(Path(target.target)))[:2])
            for part in damaged:
                part.write_bytes(part.read_bytes()[:-3])

    report = score_files(target, OverlapScorer(), progress=damage)
    assert content(Path(target.target)) == content(Path(whole.target))
    assert (report.rows, report.done_before, report.damaged) == (57, 0, 2)


def test_parts_that_never_keep_what_was_written_end_the_run(tmp_path: Path) -> None:
    job = BulkJob(source_file(tmp_path, ".jsonl"), tmp_path / "out.jsonl", block_rows=7)

    def damage(done: int, rows: int) -> None:
        if done == rows:
            visible_parts(tmp_path / "out.jsonl.parts")[0].write_bytes(b"")

    with pytest.raises(OSError, match=r"parts .*part-000000.jsonl.* check the disk"):
        score_files(job, OverlapScorer(), progress=damage)
    assert not (tmp_path / "out.jsonl").exists()


def test_parts_of_another_run_do_not_count(tmp_path: Path) -> None:
    """A worker that outlived its run writes into the folder of the next."""
    source = source_file(tmp_path, ".jsonl")
    for name, scorer in (("theirs", "other"), ("out", "overlap")):
        with pytest.raises(KeyboardInterrupt):
            score_files(BulkJob(source, tmp_path / name, block_rows=7), OverlapScorer(scorer), progress=stop_after(21))
    for file in (tmp_path / "theirs").glob("*part-*"):
        (tmp_path / "out" / file.name).write_bytes(file.read_bytes())
    assert score_files(BulkJob(source, tmp_path / "out", block_rows=7), OverlapScorer()).done_before == 0


def test_the_command_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl", bulk_rows.rows())
    command = ["score", "in.jsonl", "out.jsonl", "--model", "resift:tiny", "--block-rows", "7", "--threads", "1"]
    with monkeypatch.context() as patched:
        patched.setattr("resift.bulk.parts.Parts.finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        CliRunner().invoke(app, command)
    part = visible_parts(tmp_path / "out.jsonl.parts")[3]
    part.write_bytes(part.read_bytes()[:-40])
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if "checksum" in line] == [
        "note: 1 part of an earlier run didn't match its checksum: its rows were scored again"
    ]


@pytest.mark.slow  # several processes
@pytest.mark.parametrize("end", ["", ".jsonl"], ids=["folder", "file"])
def test_killed_at_random_moments_and_damaged(tmp_path: Path, end: str) -> None:
    chance = random.Random(18)
    rows = [{"id": n, "query": f"what eats bamboo {n % 7}", "document": f"Pandas eat {n}."} for n in range(300)]
    source = write(tmp_path / "in.jsonl", rows)
    score_files(BulkJob(source, tmp_path / f"whole{end}", block_rows=2), OverlapScorer())
    target = tmp_path / f"out{end}"
    command = [sys.executable, "-c", RUN, str(source), str(target)]
    kills = 0
    for _ in range(6):
        with subprocess.Popen(command) as running:
            while running.poll() is None and not (work_folder(target) / RECORD_FILE).exists():
                time.sleep(0.002)
            time.sleep(chance.random() * 0.4)
            running.send_signal(signal.SIGKILL)
        kills += running.returncode == -signal.SIGKILL
        if running.returncode == 0:
            break
        parts = visible_parts(work_folder(target))
        for part in chance.sample(parts, len(parts) // 4):
            part.write_bytes(chance.choice(list(DAMAGES.values()))(part.read_bytes()))
    assert kills >= 2
    subprocess.run(command, timeout=300, check=running.returncode != 0)
    assert content(target) == content(tmp_path / f"whole{end}")


@pytest.mark.parametrize("end", ["", ".jsonl"], ids=["folder", "file"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_each_change_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, overwrite: bool
) -> None:
    """The run stops before its first, second, ... rename, deletion or mark: the same call always completes it."""
    source = write(tmp_path / "in.jsonl", bulk_rows.rows()[:9])
    score_files(BulkJob(source, tmp_path / f"whole{end}", block_rows=3), OverlapScorer())

    def run_until(target: Path, change: int) -> bool:
        left = change

        def guard(name: str) -> None:
            real = getattr(Path, name)

            def guarded(path: Path, *args: object, **options: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt  # and no later change happens either
                return real(path, *args, **options)

            patched.setattr(Path, name, guarded)

        with monkeypatch.context() as patched:
            for name in ("replace", "unlink", "touch", "rmdir", "mkdir"):
                guard(name)
            try:
                run(target)
            except KeyboardInterrupt:
                return False
            return True

    def run(target: Path) -> BulkReport:
        return score_files(BulkJob(source, target, block_rows=3, overwrite=overwrite), OverlapScorer())

    for change in range(200):
        target = tmp_path / f"out{change}{end}"
        if overwrite:
            score_files(BulkJob(source, target, block_rows=2), OverlapScorer("other"))
        if run_until(target, change):
            break
        if not overwrite and end and target.exists() and not (work_folder(target) / RECORD_FILE).exists():
            continue  # it is finished: only an empty folder may be left
        if not overwrite and not end and (target / DONE_FILE).exists():
            continue
        run(target)
        assert content(target) == content(tmp_path / f"whole{end}"), change
        assert not end or not work_folder(target).exists()
    assert change > 10
