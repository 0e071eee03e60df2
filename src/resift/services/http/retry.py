"""When a request is sent again, and after how long: the rules of Cohere's SDK (cohere 7.3.1, core/http_client.py)."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite

from resift.errors import InputError

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
JITTER = 0.2
AGAIN = frozenset({408, 409, 429})  # and every 5xx; never 401, 402 and 403: no wait mends a key or a balance


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a client is. Seconds; `timeout` for one attempt, `total_timeout` for a whole call."""

    timeout: float
    total_timeout: float | None
    max_retries: int
    parallel_requests: int

    def __post_init__(self) -> None:
        for name in ("timeout", "total_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < float("inf"):
                raise InputError(f"{name} must be a number of seconds above 0, got {seconds!r}")
        if self.max_retries < 0:
            raise InputError(f"max_retries must be at least 0, got {self.max_retries}")
        if self.parallel_requests < 1:
            raise InputError(f"parallel_requests must be at least 1, got {self.parallel_requests}")


class Clock:
    """Time and chance. Tests bring their own."""

    def now(self) -> float:
        """Seconds, for differences."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def chance(self) -> float:
        """A number from 0 to 1."""
        return random.random()  # noqa: S311 - it spreads retries, it guards nothing

    def sleep(self, seconds: float, halt: threading.Event) -> None:
        """Waits, or less if there is no reason to wait any longer."""
        halt.wait(seconds)

    async def asleep(self, seconds: float) -> None:
        """Waits without blocking the event loop."""
        await asyncio.sleep(seconds)


def worth_retrying(status: int) -> bool:
    """Whether the same request may be answered the next time.

    >>> [status for status in (200, 400, 401, 402, 403, 404, 408, 409, 422, 429, 500, 503) if worth_retrying(status)]
    [408, 409, 429, 500, 503]
    """
    return status >= 500 or status in AGAIN


def pause(headers: Mapping[str, str], attempt: int, clock: Clock) -> float:
    """Seconds to wait after attempt 0, 1, ...: what the server asks for, else twice as long each time; 60 at most.

    `headers` have lower-case names; asked are `retry-after-ms`, `Retry-After` (seconds or a date) and
    `X-RateLimit-Reset` (seconds since 1970), in this order. Waits nobody asked for vary by ±10 %, and those until
    a common reset by up to +20 %, so that clients don't all come back at once.
    """
    asked = _milliseconds(headers) or _retry_after(headers, clock)
    if asked:
        return min(asked, LONGEST_WAIT)
    reset = (_number(headers.get("x-ratelimit-reset")) or 0.0) - clock.time()
    if reset > 0:
        return min(reset, LONGEST_WAIT) * (1 + clock.chance() * JITTER)
    return float(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * (1 + (clock.chance() - 0.5) * JITTER))


def _milliseconds(headers: Mapping[str, str]) -> float:
    found = _number(headers.get("retry-after-ms"))
    return found / 1000 if found and found > 0 else 0.0


def _retry_after(headers: Mapping[str, str], clock: Clock) -> float:
    """Seconds to wait; 0 where the header is missing, past or unreadable."""
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - clock.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds)


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if isfinite(found) else None
