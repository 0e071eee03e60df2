"""What the tests of `tests/reliability` share: the sizes of their long and short runs, their figures, a watchdog."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

HANG_SECONDS = 120
"""A case that takes longer hangs. On a busy machine a case of a tenth of a second may take some seconds."""

RecordFigure = Callable[[str], None]


def short_and_long(short: Any, long: Any) -> pytest.MarkDecorator:
    """Run a test in two sizes: `short` in the suite, `long` with `pytest -m reliability`."""
    return pytest.mark.parametrize(
        "size", [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.reliability)]
    )


def setting(name: str, default: float) -> float:
    """The number in an environment variable, such as RESIFT_SOAK_SECONDS."""
    return float(os.environ.get(name, default))


@contextmanager
def no_hang(what: str, seconds: int = HANG_SECONDS) -> Iterator[None]:
    """Fail, naming what hangs, where the block takes longer. Only in the main thread, and not on Windows."""
    if sys.platform == "win32":
        yield
        return

    def stop(_: int, frame: FrameType | None) -> None:
        raise AssertionError(f"{what}: no end after {seconds} s, at {frame}")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Resources:
    """What this process holds."""

    bytes: int
    threads: int
    descriptors: int

    @classmethod
    def now(cls) -> Resources:
        """Read them. Linux only."""
        status = Path("/proc/self/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return cls(
            int(fields["VmRSS"].split()[0]) * 1024, int(fields["Threads"]), len(list(Path("/proc/self/fd").iterdir()))
        )


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
