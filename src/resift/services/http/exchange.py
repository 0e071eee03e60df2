"""A call as a generator of steps: what to send, how long to wait, what can go side by side.

The generator decides and never does; `client` does, in two short ways, one that blocks and one that awaits. So
there is one place where retries, deadlines and errors are decided, and it can be tested without a network.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from resift._util.secret import ApiKey
from resift.errors import RemoteError
from resift.services.http.provider import Provider
from resift.services.http.reply import Reply, complaint
from resift.services.http.retry import Clock, Policy, pause, worth_retrying

R = TypeVar("R")


class Send(NamedTuple):
    """An HTTP request; its outcome is a Reply, or a Failure. POST with a body, else GET."""

    url: str
    body: bytes | None
    seconds: float


class Wait(NamedTuple):
    """So many seconds of nothing."""

    seconds: float


class Together(NamedTuple):
    """Several exchanges at once; the outcome is the list of their results. The first error ends all."""

    exchanges: Sequence[Generator[Any, Any, Any]]


class Failure(NamedTuple):
    """No answer: why, and whether there is sense in asking again."""

    reason: str
    again: bool


Step = Send | Wait | Together
Steps = Generator[Step, Any, R]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Asks one provider, patiently. Errors carry its own words, and never the key."""

    name: str
    provider: Provider
    key: ApiKey | None
    policy: Policy

    def ask(self, url: str, body: bytes | None, deadline: float, clock: Clock) -> Steps[Reply]:
        """The answer, of whatever 2xx; retried as `retry` has it. `deadline` is on `clock.now()`.

        Raises RemoteError: refused, failed too often, or out of time.
        """
        for attempt in range(self.policy.max_retries + 1):
            left = deadline - clock.now()
            if left <= 0:
                raise self._late(attempt)
            outcome: Reply | Failure = yield Send(url, body, min(self.policy.timeout, left))
            if isinstance(outcome, Reply) and 200 <= outcome.status < 300:
                return outcome
            if attempt == self.policy.max_retries or not self._again(outcome):
                raise self._refused(outcome, attempt + 1)
            seconds = pause({} if isinstance(outcome, Failure) else outcome.headers, attempt, clock)
            if seconds >= deadline - clock.now():
                raise self._late(attempt + 1, outcome)
            yield Wait(seconds)
        raise AssertionError("max_retries is at least 0")  # unreachable

    def error(self, text: str, status: int | None = None) -> RemoteError:
        """The RemoteError that says so, with the model's name and without the key."""
        return RemoteError(f"{self.name}: {text if self.key is None else self.key.hide(text)}", status=status)

    def _again(self, outcome: Reply | Failure) -> bool:
        if isinstance(outcome, Failure):
            return outcome.again
        return worth_retrying(outcome.status) and self._way_out(complaint(outcome)) is None

    def _way_out(self, said: str) -> str | None:
        return next((way for sign, way in self.provider.permanent.items() if sign in said), None)

    def _refused(self, outcome: Reply | Failure, attempts: int) -> RemoteError:
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        if isinstance(outcome, Failure):
            return self.error(f"{outcome.reason}{tried}")
        said = complaint(outcome)
        way = self._way_out(said) or self._usual_way_out(outcome)
        return self.error(
            f"{self.provider.title} answered {outcome.status}{tried}: {said}{f'. {way}' if way else ''}", outcome.status
        )

    def _usual_way_out(self, reply: Reply) -> str | None:
        if 300 <= reply.status < 400:
            return "Redirects are not followed, since the key would go along: give the final address as base_url"
        if reply.status == 401:
            known = "Is it the right key?" if self.key is not None else "No key was sent."
            return f"{known} It is taken from api_key=, or from {' or '.join(self.provider.variables)}"
        return None

    def _late(self, attempts: int, outcome: Reply | Failure | None = None) -> RemoteError:
        status = outcome.status if isinstance(outcome, Reply) else None
        last = "" if outcome is None else f"; the last: {outcome.reason if isinstance(outcome, Failure) else status}"
        times = f"{attempts} attempt" + ("" if attempts == 1 else "s")
        return self.error(f"total_timeout={self.policy.total_timeout:g} s was over after {times}{last}", status)
