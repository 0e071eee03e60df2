"""A database that another program keeps locked: a line that says so, where Chroma would wait for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resift.cli.app import app
from resift.search import collections
from resift.search.collections import (
    DatabaseLockedError,
    check_unlocked,
    create_collection,
    list_collections,
    open_collection,
)

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"BEGIN {sys.argv[2]}")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(file: Path, how: str = "EXCLUSIVE") -> Iterator[None]:
    command = [sys.executable, "-c", HOLD, str(file), how]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.kill()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a database that this process has not opened yet, as far as `_client` knows."""
    collection = create_collection(tmp_path / "db", "documents", "static")
    collection.add(ids=["1"], documents=["Pandas eat bamboo."])
    monkeypatch.setattr(collections, "_OPENED", set())
    monkeypatch.setattr(collections, "LOCK_SECONDS", 0.1)
    return tmp_path / "db"


@pytest.mark.parametrize("how", ["EXCLUSIVE", "IMMEDIATE"])
def test_whoever_opens_a_locked_database_is_told(database: Path, how: str) -> None:
    with locked(database / "chroma.sqlite3", how):
        for use in (
            lambda: open_collection(database),
            lambda: create_collection(database, "documents"),
            lambda: list_collections(database),
        ):
            with pytest.raises(
                DatabaseLockedError, match=r"chroma.sqlite3 has been locked by another program for 0.1 s"
            ):
                use()
        for command in (["search", "pandas"], ["index", str(database), "--embedder", "static"], ["doctor"]):
            where = [str(database)] if command == ["doctor"] else ["--db", str(database)]
            result = CliRunner().invoke(app, [*command, *where])
            assert result.exit_code == 1, command
            assert "close that program, or wait until it is done" in " ".join(result.output.split())
            assert "delete" not in result.output
    assert open_collection(database).count() == 1


def test_a_database_that_is_only_read_elsewhere_is_free(database: Path) -> None:
    with locked(database / "chroma.sqlite3", "DEFERRED"):
        assert open_collection(database).count() == 1


def test_files_that_are_no_database_are_left_to_chroma(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_text("no database" * 1000)
    check_unlocked(tmp_path / "chroma.sqlite3")
    check_unlocked(tmp_path / "none")
