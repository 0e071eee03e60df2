"""A daemon thread that works for one object, and ends with it or with the interpreter."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from queue import SimpleQueue
from typing import Protocol

JOIN_SECONDS = 10.0  # longer than a round of scoring takes; then the interpreter ends without it


class HasWork(Protocol):
    """What the thread works for."""

    def work(self) -> None:
        """Do what there is to do. Return early once `exiting` says so. Must not raise."""


class DaemonThread:
    """Calls `owner.work()` after each `wake()`, one call at a time.

    The thread holds its owner only while it works, so that it ends when nobody else holds it. At interpreter exit
    it is waited for, at most `JOIN_SECONDS`: a thread that is killed inside native code can crash the process.
    """

    def __init__(self, owner: HasWork, name: str) -> None:
        self._inbox: SimpleQueue[bool] = SimpleQueue()
        self.thread = threading.Thread(target=_loop, args=(weakref.ref(owner), self._inbox), name=name, daemon=True)
        weakref.finalize(owner, self._inbox.put, False).atexit = False
        _THREADS.add(self)
        self.thread.start()

    def wake(self) -> None:
        """Have `work` called once more."""
        self._inbox.put(True)

    def stop(self) -> None:
        """End the thread after what it is doing now."""
        self._inbox.put(False)


_THREADS: weakref.WeakSet[DaemonThread] = weakref.WeakSet()
_EXITING = threading.Event()


def exiting() -> bool:
    """Return whether the interpreter is ending: nobody can receive a result any more."""
    return _EXITING.is_set()


def _loop(owner: weakref.ref[HasWork], inbox: SimpleQueue[bool]) -> None:
    while inbox.get():
        held = owner()
        if held is None:
            return
        held.work()
        del held


@atexit.register
def _stop_all() -> None:
    _EXITING.set()
    end = time.monotonic() + JOIN_SECONDS  # for all of them together
    threads = list(_THREADS)
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.thread.join(max(0.0, end - time.monotonic()))
