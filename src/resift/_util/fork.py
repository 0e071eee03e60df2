"""Hooks around a fork: locks, threads and open files of the parent must not be used in a forked child."""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """An object with locks, threads or connections, none of which work in a forked child."""

    def renew(self) -> None:
        """Drop what was inherited from the parent and start empty. Called in the child, right after the fork."""


class Suspendable(Renewable, Protocol):
    """An object that must also be at rest in the parent while it forks, such as an open SQLite file."""

    def suspend(self) -> None:
        """Come to rest. Called in the parent, right before the fork."""

    def resume(self) -> None:
        """Go on. Called in the parent, right after the fork, in the thread that called `suspend`."""


_RENEWABLES: WeakSet[Renewable] = WeakSet()
_SUSPENDABLES: WeakSet[Suspendable] = WeakSet()


def renew_in_children(obj: Renewable) -> None:
    """Call `obj.renew()` in every forked child while `obj` is alive."""
    _RENEWABLES.add(obj)


def suspend_during_forks(obj: Suspendable) -> None:
    """Call `obj.suspend()` before every fork, then `obj.resume()` in the parent and `obj.renew()` in the child."""
    _SUSPENDABLES.add(obj)
    _RENEWABLES.add(obj)


class RenewedLock:
    """A lock that is free in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Start free: the thread that held it is not in the child."""
        self._lock = threading.Lock()

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take the lock. Return whether it was taken."""
        return self._lock.acquire(blocking=blocking)

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _suspend() -> None:
    for obj in list(_SUSPENDABLES):
        obj.suspend()


def _resume() -> None:
    for obj in list(_SUSPENDABLES):
        obj.resume()


def _renew() -> None:
    for obj in list(_RENEWABLES):
        obj.renew()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_suspend, after_in_parent=_resume, after_in_child=_renew)
