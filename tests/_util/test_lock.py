"""The lock of a folder where there is no `flock`: on Windows, by a stand-in for its module."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from resift._util import lock


def test_without_flock_a_byte_is_locked_and_the_holder_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[int] = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        places.append(os.lseek(descriptor, 0, os.SEEK_CUR))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PermissionError(errno.EACCES, "Permission denied") from None  # what Windows says

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(lock, "fcntl", None)
    with (
        lock.lock_folder(tmp_path, ".lock"),
        pytest.raises(lock.FolderLockedError, match=f"process {os.getpid()} on "),
        lock.lock_folder(tmp_path, ".lock"),
    ):
        pass
    with lock.lock_folder(tmp_path, ".lock"):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert places == [lock.LOCKED_BYTE] * 3
