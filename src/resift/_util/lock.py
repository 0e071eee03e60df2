"""One process at a time writes into a folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from resift._util.fork import renew_in_children

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
BYTES_OF_HOLDER = 200
LOCKED_BYTE = 2**30
"""Windows locks bytes, and nobody else can read those: one behind the end, so that a file still says who holds it."""


class FolderLockedError(Exception):
    """Another process holds the lock. The message says which: `process 12 on HOST`."""


@contextmanager
def lock_folder(folder: Path, name: str) -> Iterator[None]:
    """Hold the only lock of a folder, and create the folder if there is none.

    The lock is `flock` on a file in the folder (on Windows `LockFile`), which the system lets go of when the process
    ends, also by SIGKILL. A file that is left behind locks nothing. On a file system without locks (NFS 3 without its
    lock service, Lustre mounted without `flock`) nothing is locked, and nothing is raised.

    Args:
        folder: The folder. It stays.
        name: Name of the lock file, which is deleted at the end.

    Raises:
        FolderLockedError: Another process, or another thread of this one, holds the lock.
        OSError: The folder or the file can't be created.
    """
    path = folder / name
    held = _HeldFile(_open_locked(path))
    try:
        yield
    finally:
        try:
            with suppress(OSError):
                path.unlink()  # while it is locked: whoever opens it now finds out that it is no longer this file
        finally:
            held.close()


class _HeldFile:
    """The open file that is locked. A forked child closes it, or the lock would live as long as the child does."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        renew_in_children(self)

    def close(self) -> None:
        """Let go of the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def renew(self) -> None:
        """Close the file in a forked child. The lock stays with the parent, which has it open too."""
        self.close()


def _open_locked(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # for writing: NFS locks no other
        except FileNotFoundError:
            continue  # the process that held the lock has just deleted the folder
        try:
            _lock(descriptor)
            if _is_at(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _lock_byte(descriptor, import_module("msvcrt"))
    except OSError as error:
        if error.errno in HELD:
            holder = os.read(descriptor, BYTES_OF_HOLDER).decode(errors="replace").strip()
            raise FolderLockedError(holder or "another process") from None
        # The file system has no locks: ENOLCK, ENOSYS, EOPNOTSUPP.


def _lock_byte(descriptor: int, msvcrt: Any) -> None:
    os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether this open file is still the one of that name: its earlier holder deletes it at its end."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
