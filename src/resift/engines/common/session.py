"""ONNX Runtime sessions that share the cores of the process and survive a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from resift._util.fork import renew_in_children


class CorePool:
    """The cores of this process. Threads borrow them in order of arrival, and never more than there are."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Start with all cores free, in a forked child: the threads that borrowed some are not there."""
        self._queue = threading.Lock()
        self._freed = threading.Condition()
        self._free = self.cores

    @contextmanager
    def borrow(self, cores: int | None) -> Iterator[None]:
        """Wait for `cores` free cores and hold them in the `with` block; for None or too large a number, all cores."""
        borrowed = self.cores if cores is None else min(cores, self.cores)
        with self._queue, self._freed:  # the first thread in the queue waits for cores, the others wait for the queue
            self._freed.wait_for(lambda: self._free >= borrowed)
            self._free -= borrowed
        try:
            yield
        finally:
            with self._freed:
                self._free += borrowed
                self._freed.notify()


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CORE_POOL = CorePool(usable_cores())


class Session:
    """An inference session that waits for free cores, and that a forked child opens again: it has no threads there."""

    def __init__(self, open_session: Callable[[], InferenceSession], threads: int | None) -> None:
        self._open_session = open_session
        self._threads = threads
        self._session: InferenceSession | None = open_session()
        self._opening = threading.Lock()
        renew_in_children(self)

    def renew(self) -> None:
        """Put the parent's session aside without closing it: closing would wait for threads that are not there."""
        _PARENT_SESSIONS.append(self._session)
        self._session = None
        self._opening = threading.Lock()

    @property
    def current(self) -> InferenceSession:
        """The session of this process, opened again after a fork."""
        with self._opening:
            if self._session is None:
                self._session = self._open_session()
            return self._session

    def get_inputs(self) -> list[Any]:
        """Return the graph's inputs, as `InferenceSession.get_inputs`."""
        return list(self.current.get_inputs())

    def get_outputs(self) -> list[Any]:
        """Return the graph's outputs, as `InferenceSession.get_outputs`."""
        return list(self.current.get_outputs())

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run the graph once there are free cores for its threads, as `InferenceSession.run`."""
        session = self.current
        with CORE_POOL.borrow(self._threads):
            outputs: list[NDArray[np.float32]] = session.run(names, inputs)
        return outputs


class SessionPool(Session):
    """Sessions of one thread each over one graph, as many as run at once; each is opened when it is first needed.

    Threads that share a session wait for each other, since its memory has one lock; and several threads within one
    session wait for each other after each operator.
    """

    def __init__(self, open_session: Callable[[], InferenceSession]) -> None:
        self._idle: list[InferenceSession] = []  # first: a fork may come as soon as it is known to children
        super().__init__(open_session, 1)
        self._idle.append(self.current)

    def renew(self) -> None:
        """Put the parent's sessions aside."""
        _PARENT_SESSIONS.extend(self._idle)
        self._idle = []
        super().renew()

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run the graph in a session that no other thread uses, once there is a free core."""
        with CORE_POOL.borrow(1):
            try:
                session = self._idle.pop()
            except IndexError:
                session = self._open_session()
            try:
                outputs: list[NDArray[np.float32]] = session.run(names, inputs)
            finally:
                self._idle.append(session)
        return outputs


_PARENT_SESSIONS: list[InferenceSession | None] = []
