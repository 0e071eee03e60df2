"""The record of a run, damaged, of another program or of another version: one clear line, and `--overwrite` helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bulk_rows
import pytest
from bulk_rows import read, write
from typer.testing import CliRunner

from resift import InputError
from resift.bulk import BulkJob, score_files
from resift.bulk.record import RECORD_FILE
from resift.cli.app import app
from resift.testing import OverlapScorer


def stop(done: int, _: int) -> None:
    if done >= 20:
        raise KeyboardInterrupt


RECORDS: dict[str, tuple[Any, str]] = {
    "empty": (b"", "is damaged"),
    "cut": (lambda content: content[: len(content) // 2], "is damaged"),
    "cut by a byte": (lambda content: content[:-1], "is damaged"),
    "not UTF-8": (lambda content: b"\xff\xfe" + content, "is damaged"),
    "zeros": (lambda content: bytes(len(content)), "is damaged"),
    "nested too deeply": (b"[" * 100_000, "is damaged"),
    "a number too long": (b'{"version": ' + b"1" * 5000 + b"}", "is damaged"),
    "a list": (b"[1, 2]", "is no record of a run"),
    "null": (b"null", "is no record of a run"),
    "another program's": (b'{"name": "other", "scripts": {}}', "is no record of a run"),
    "without a version": (lambda content: content.replace(b'"version"', b'"versio"'), "is no record of a run"),
    "a newer version": (
        lambda content: content.replace(b'"version": 1', b'"version": 99'),
        "has the format version 99, and this resift reads 1",
    ),
    "a version of another type": (
        lambda content: content.replace(b'"version": 1', b'"version": [1]'),
        "is no record of a run",
    ),
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("end", ["", ".jsonl"], ids=["folder", "file"])
def test_a_record_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, end: str) -> None:
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path / "in.jsonl", bulk_rows.rows())
    job = BulkJob(source, tmp_path / f"out{end}", block_rows=10)
    with pytest.raises(KeyboardInterrupt):
        score_files(job, OverlapScorer(), progress=stop)
    record = tmp_path / (f"out{end}.parts" if end else "out") / RECORD_FILE
    change, problem = RECORDS[name]
    record.write_bytes(change if isinstance(change, bytes) else change(record.read_bytes()))
    with pytest.raises(InputError, match=rf"{RECORD_FILE} {problem}.*name another output.*--overwrite"):
        score_files(job, OverlapScorer())
    result = CliRunner().invoke(app, ["score", "in.jsonl", f"out{end}", "--block-rows", "10"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"resift: out{end}")
    score_files(BulkJob(source, tmp_path / f"out{end}", block_rows=10, overwrite=True), OverlapScorer())
    assert [row["id"] for row in read(tmp_path / f"out{end}")] == list(range(57))


def test_every_flipped_byte_of_a_record_is_one_error(tmp_path: Path) -> None:
    """Or it is noticed as another run; and where it isn't, as in a blank, nothing changes."""
    source = write(tmp_path / "in.jsonl", bulk_rows.rows()[:6])
    job = BulkJob(source, tmp_path / "out", block_rows=2)
    with pytest.raises(KeyboardInterrupt):
        score_files(job, OverlapScorer(), progress=lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    record = tmp_path / "out" / RECORD_FILE
    content = record.read_bytes()
    for index in range(len(content)):
        record.write_bytes(content[:index] + bytes([content[index] ^ 4]) + content[index + 1 :])
        with pytest.raises((InputError, KeyboardInterrupt)):  # the latter: begun, for it is the same run
            score_files(job, OverlapScorer(), progress=lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


def test_a_folder_in_the_records_place_is_one_line(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", bulk_rows.rows()[:6])
    (tmp_path / "out" / RECORD_FILE).mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(InputError, match=f"{RECORD_FILE} can't be read"):
            score_files(BulkJob(source, tmp_path / "out", overwrite=overwrite), OverlapScorer())


def test_a_record_names_its_version(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", bulk_rows.rows())
    score_files(BulkJob(source, tmp_path / "out"), OverlapScorer())
    assert json.loads((tmp_path / "out" / RECORD_FILE).read_text())["version"] == 1
