"""When a request is sent again, and after how long: the rules of Cohere's SDK (cohere 7.3.1, core/http_client.py)."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite

from resift.errors import InputError

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 1.0, 60.0
LAST_DOUBLING = 6  # 64 seconds are above the longest delay already
JITTER = 0.2
RETRIED_STATUSES = frozenset({408, 409, 429})  # and every 5xx; never 401, 402, 403: no wait mends a key or a balance


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often one scorer tries. Raises InputError for numbers that can't be."""

    timeout: float
    """Seconds for one attempt."""
    total_timeout: float | None
    """Seconds for a whole call with all its attempts; None: no limit."""
    max_retries: int
    parallel_requests: int

    def __post_init__(self) -> None:
        for name in ("timeout", "total_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds <= sys.float_info.max:
                raise InputError(f"{name} must be a number of seconds above 0, got {seconds!r}")
        if self.max_retries < 0:
            raise InputError(f"max_retries must be at least 0, got {self.max_retries}")
        if self.parallel_requests < 1:
            raise InputError(f"parallel_requests must be at least 1, got {self.parallel_requests}")


class Clock:
    """The clock and the source of random numbers; tests use a fake one."""

    def now(self) -> float:
        """Return seconds of a clock that never goes back: for differences only."""
        return time.monotonic()

    def time(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def random(self) -> float:
        """Return a random number from 0 to 1."""
        return random.random()  # noqa: S311 - it spreads retries, it guards nothing

    def sleep(self, seconds: float, halt: threading.Event) -> None:
        """Wait in this thread; setting `halt` ends the wait early."""
        halt.wait(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(seconds)


def worth_retrying(status: int) -> bool:
    """Return whether the same request may succeed the next time.

    >>> [status for status in (200, 400, 401, 402, 403, 404, 408, 409, 422, 429, 500, 503) if worth_retrying(status)]
    [408, 409, 429, 500, 503]
    """
    return status >= 500 or status in RETRIED_STATUSES


def retry_delay(headers: Mapping[str, str], attempt: int, clock: Clock) -> float:
    """Return the seconds to wait after attempt 0, 1, ...: what the server says, else 1, 2, 4, ...; 60 at most.

    `headers` have lower-case names. Three of them count, in this order: `retry-after-ms`, `Retry-After` (seconds or
    a date) and `X-RateLimit-Reset` (seconds since 1970). So that clients don't all come back at once, delays without
    such a header vary by ±10 %, and those until a reset, which many clients share, by up to +20 %.
    """
    server_delay = _retry_after_ms(headers) or _retry_after(headers, clock)
    if server_delay:
        return min(server_delay, LONGEST_DELAY_SECONDS)
    until_reset = (_parse_number(headers.get("x-ratelimit-reset")) or 0.0) - clock.time()
    if until_reset > 0:
        return min(until_reset, LONGEST_DELAY_SECONDS) * (1 + clock.random() * JITTER)
    delay = min(FIRST_DELAY_SECONDS * 2 ** min(attempt, LAST_DOUBLING), LONGEST_DELAY_SECONDS)
    return float(delay * (1 + (clock.random() - 0.5) * JITTER))


def _retry_after_ms(headers: Mapping[str, str]) -> float:
    """Return the seconds of `retry-after-ms`; 0 where it is missing, past or unreadable."""
    milliseconds = _parse_number(headers.get("retry-after-ms"))
    return milliseconds / 1000 if milliseconds and milliseconds > 0 else 0.0


def _retry_after(headers: Mapping[str, str], clock: Clock) -> float:
    """Return the seconds of `Retry-After`; 0 where it is missing, past or unreadable."""
    text = headers.get("retry-after", "")
    seconds = _parse_number(text)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - clock.time()
        except (ValueError, OverflowError, OSError):  # no date, or one that the system's clock can't hold
            return 0.0
    return max(0.0, seconds)


def _parse_number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if isfinite(number) else None
