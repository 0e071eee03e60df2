"""What must start afresh in a forked child: locks, threads and connections don't live on there."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """What holds locks, threads or connections, none of which live on in a forked child."""

    def renew(self) -> None:
        """Called in the child, right after the fork: forget what was the parent's, and start empty."""


_RENEWED: WeakSet[Renewable] = WeakSet()


def renewed_in_children(one: Renewable) -> None:
    """Has `one.renew()` called in every child that this process forks, for as long as it lives."""
    _RENEWED.add(one)


def _renew() -> None:
    for one in list(_RENEWED):
        one.renew()


if hasattr(os, "register_at_fork"):  # Windows knows no fork
    os.register_at_fork(after_in_child=_renew)
