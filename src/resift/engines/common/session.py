"""ONNX Runtime sessions that know their limits: no more threads than cores, and none taken over from a parent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from resift._util.fork import renewed_in_children


class CorePool:
    """The cores of this process, lent to whoever computes: in order of arrival, and never more than there are."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """All of them are free."""
        self._queue = threading.Lock()
        self._freed = threading.Condition()
        self._free = self.count

    @contextmanager
    def borrow(self, wanted: int | None) -> Iterator[None]:
        """So many cores, or all of them for None (and where more are wanted than there are)."""
        taken = self.count if wanted is None else min(wanted, self.count)
        with self._queue, self._freed:  # whoever is first in the queue waits for the cores, the others for the queue
            self._freed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._freed:
                self._free += taken
                self._freed.notify()


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CORE_POOL = CorePool(usable_cores())


class Session:
    """A session that a forked child opens again: of its threads, none would be there."""

    def __init__(self, opened: Callable[[], InferenceSession], threads: int | None) -> None:
        self._open = opened
        self._threads = threads
        self._session: InferenceSession | None = opened()
        self._opening = threading.Lock()
        renewed_in_children(self)

    def renew(self) -> None:
        """The parent's session is put aside, not closed: closing it would wait for threads that are not there."""
        _INHERITED.append(self._session)
        self._session = None
        self._opening = threading.Lock()

    @property
    def current(self) -> InferenceSession:
        """The session of this process."""
        with self._opening:
            if self._session is None:
                self._session = self._open()
            return self._session

    def get_inputs(self) -> list[Any]:
        """As InferenceSession's."""
        return list(self.current.get_inputs())

    def get_outputs(self) -> list[Any]:
        """As InferenceSession's."""
        return list(self.current.get_outputs())

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """As InferenceSession's, once there are cores for its threads."""
        session = self.current
        with CORE_POOL.borrow(self._threads):
            outputs: list[NDArray[np.float32]] = session.run(names, inputs)
        return outputs


_INHERITED: list[InferenceSession | None] = []
