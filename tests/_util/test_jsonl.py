"""Lines of JSON are read in one way, whoever reads them: file and line in every error, no byte order mark in a row."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resift import InputError
from resift._util.jsonl import parse_object, read_lines, read_rows
from resift.documents import read

BOM = b"\xef\xbb\xbf"


def from_jsonl(path: Path) -> Iterator[Any]:
    return read_rows(path)


def from_documents(path: Path) -> list[Any]:
    return list(read(path.read_bytes(), str(path)))


READERS: list[Callable[[Path], Any]] = [from_jsonl, from_documents]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"text": "x"}\n\n{"text": ', r":3: not valid JSON: "),
        (b'{"text": "x"}\n{"text": "caf\xe9"}', r":2: not UTF-8 \(byte 0xe9\); convert the file first"),
        (b'{"text": "x"}\n' + b'{"a": ' * 100_000, r":2: the JSON is nested too deeply to be read"),
        (b'{"text": "x"}\n' + b"[" * 100_000 + b"]" * 100_000, r":2: the JSON is nested too deeply to be read"),
        (b"\n[1]", r":2: a JSON object is needed, this is a list"),
        (b"null", r":1: a JSON object is needed, this is null"),
        (b"3.5", r":1: a JSON object is needed, this is a number"),
        (b'"x"', r":1: a JSON object is needed, this is a text"),
    ],
)
def test_what_is_no_object_is_named_by_file_and_line(
    reader: Callable[[Path], Any], data: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(data)
    with pytest.raises(InputError, match=f"^{file}{message}"):
        list(reader(file))


@pytest.mark.parametrize("reader", READERS)
def test_a_byte_order_mark_is_no_part_of_the_first_line(reader: Callable[[Path], Any], tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(BOM + b'{"text": "x"}\n{"text": "y"}\n')
    assert len(list(reader(file))) == 2
    file.write_bytes(BOM + b"q1\td1\t1\n")
    assert list(read_lines(file)) == [(f"{file}:1", "q1\td1\t1\n")]


@pytest.mark.parametrize("line", [b'{"a": 1}', BOM + b'{"a": 1}\r\n', '{"a": 1}', '\ufeff {"a": 1} '])
def test_a_line_may_be_bytes_or_text(line: str | bytes) -> None:
    assert parse_object(line, "here") == {"a": 1}


@pytest.mark.parametrize("line", ['{"n": NaN}', '{"n": -Infinity}'])
def test_only_the_strict_refuse_what_databases_cannot_store(line: str) -> None:
    assert len(parse_object(line, "here")) == 1
    with pytest.raises(InputError, match=r"^here: not valid JSON"):
        parse_object(line, "here", strict=True)


def test_a_gzipped_file_reads_the_same(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(BOM + b'{"a": 1}\n\n{"a": 2}'))
    assert list(read_rows(file)) == [(f"{file}:1", {"a": 1}), (f"{file}:3", {"a": 2})]
    file.write_bytes(gzip.compress(b'{"a": 1}\n{"a": "' + b"x" * 100_000 + b'"}\n{"a": "\xff"}'))
    with pytest.raises(InputError, match=r"rows\.jsonl\.gz:3: not UTF-8 \(byte 0xff\)"):
        list(read_rows(file))
