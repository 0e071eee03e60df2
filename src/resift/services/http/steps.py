"""What a generator of HTTP steps yields: send a request, wait, or run several generators at the same time.

The generator decides what happens next and does no I/O; `client` does the I/O, blocking or with await. So retries,
deadlines and errors are decided in one place (`requester`) for both, and are tested without a network.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

R = TypeVar("R")


class Send(NamedTuple):
    """Send one HTTP request: POST with a body, GET without. The generator gets back an HttpResponse or a Failure."""

    url: str
    body: bytes | None
    timeout: float
    """Seconds for the whole response."""


class Wait(NamedTuple):
    """Wait `seconds` and do nothing. The generator gets back None."""

    seconds: float


class Parallel(NamedTuple):
    """Run several generators at the same time. The generator gets back the list of their results, in their order.

    The first error ends them all.
    """

    generators: Sequence[Generator[Any, Any, Any]]


class Failure(NamedTuple):
    """A request without a usable response: the reason, and whether sending it again makes sense."""

    reason: str
    """Why nothing came back; or, where `status` is given, what the service gave."""
    retry: bool
    status: int | None = None
    """The status of a response whose body can't be used; None where there was no response."""


Step = Send | Wait | Parallel
Steps = Generator[Step, Any, R]
"""A generator of steps that returns an R."""
