"""A clock for tests: waiting takes no time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from resift.services.http.retry import Clock


@dataclass
class FakeClock(Clock):
    """Waiting takes no time and is recorded; every random number is 0.5."""

    waits: list[float] = field(default_factory=list)
    seconds: float = 1_700_000_000.0

    def now(self) -> float:
        return self.seconds

    def time(self) -> float:
        return self.seconds

    def random(self) -> float:
        return 0.5

    def sleep(self, seconds: float, halt: threading.Event) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    async def asleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds
