"""Files are written whole or not at all, and every place that needs this uses the same function."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import resift
from resift._util.atomic import write_whole
from resift.models.manifest import Manifest


def write_manifest(folder: Path) -> Path:
    Manifest("m", "pair", 256).write(folder, [])
    return folder / "resift.json"


def write_text(folder: Path) -> Path:
    write_whole(folder / "notes.txt", lambda part: part.write_text("new"))
    return folder / "notes.txt"


WRITERS: list[Callable[[Path], Path]] = [write_text, write_manifest]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_is_flushed_before_it_gets_its_name(
    writer: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename reaches the disk before the data: after a power cut, a file without fsync can be empty."""
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append([file.name for file in tmp_path.iterdir()]))
    file = writer(tmp_path)
    assert [[name.startswith(f".{file.name}.") for name in names] for names in seen] == [[True]]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.usefixtures("full_disk")
def test_a_failed_write_leaves_nothing(writer: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no space"):
        writer(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("old")

    def fail_halfway(part: Path) -> None:
        part.write_text("ne")
        raise ValueError("interrupted")

    with pytest.raises(ValueError, match="interrupted"):
        write_whole(file, fail_halfway)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("notes.txt", "old")]


def test_writers_at_the_same_time_never_mix(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    contents = [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda text: write_whole(file, lambda part: part.write_text(text)), contents))
    assert file.read_text() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_else_renames_files() -> None:
    """So that everything that must be whole is also flushed to disk first."""
    package = Path(resift.__file__).parent
    sources = {str(file.relative_to(package)): file.read_text(encoding="utf-8") for file in package.rglob("*.py")}
    renames = re.compile(r"\.rename\(|os\.replace\(|os\.rename\(|shutil\.move\(")
    assert [name for name, source in sources.items() if renames.search(source)] == []
    assert "part.replace(path)" in sources["_util/atomic.py"]


@pytest.mark.parametrize("name", [".", "folder", "folder/.."])
def test_a_folder_is_refused_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError):
        write_whole(Path(name), lambda part: part.write_text("never"))
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]
