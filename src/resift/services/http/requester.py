"""One request to a service, with its retries and its errors, as a generator of steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resift._util.secret import ApiKey
from resift.errors import RemoteError
from resift.services.http.provider import Provider
from resift.services.http.response import HttpResponse, error_message
from resift.services.http.retry import Clock, RetryPolicy, retry_delay, worth_retrying
from resift.services.http.steps import Failure, Send, Steps, Wait
from resift.text.half_pairs import replace_half_pairs


@dataclass(frozen=True, slots=True)
class Requester:
    """Sends requests to one provider. Its errors quote the provider's own message, and never show the key."""

    name: str
    """The model's name, with which every error begins."""
    provider: Provider
    key: ApiKey | None
    policy: RetryPolicy

    def request(self, url: str, body: Mapping[str, Any] | None, deadline: float, clock: Clock) -> Steps[HttpResponse]:
        """Send `body` as JSON (None: a GET request) and return the response, whose status is 2xx.

        `retry` says which failures are sent again, and when. `deadline` is a time on `clock.now()`.

        Raises RemoteError: refused, failed too often, or out of time.
        """
        data = None if body is None else _encode_json(body)
        for attempt in range(self.policy.max_retries + 1):
            seconds_left = deadline - clock.now()
            if seconds_left <= 0:
                raise self._out_of_time(attempt)
            outcome: HttpResponse | Failure = yield Send(url, data, min(self.policy.timeout, seconds_left))
            if isinstance(outcome, HttpResponse) and 200 <= outcome.status < 300:
                return outcome
            if attempt == self.policy.max_retries or not self._may_retry(outcome):
                raise self._failed(outcome, attempt + 1)
            delay = retry_delay({} if isinstance(outcome, Failure) else outcome.headers, attempt, clock)
            if delay >= deadline - clock.now():
                raise self._out_of_time(attempt + 1, outcome)
            yield Wait(delay)
        raise AssertionError("max_retries is at least 0")  # unreachable

    def error(self, text: str, status: int | None = None) -> RemoteError:
        """Return the RemoteError with this text: the model's name is added, and the key is hidden."""
        return RemoteError(f"{self.name}: {text if self.key is None else self.key.hide(text)}", status=status)

    def _may_retry(self, outcome: HttpResponse | Failure) -> bool:
        if isinstance(outcome, Failure):
            return outcome.retry
        return worth_retrying(outcome.status) and self._permanent_advice(error_message(outcome)) is None

    def _permanent_advice(self, message: str) -> str | None:
        """Return what to do about an error that no retry can fix, or None where the message is no such error."""
        return next((advice for part, advice in self.provider.permanent_errors.items() if part in message), None)

    def _failed(self, outcome: HttpResponse | Failure, attempts: int) -> RemoteError:
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        if isinstance(outcome, Failure):
            gave = "" if outcome.status is None else f"{self.provider.title} gave "
            return self.error(f"{gave}{outcome.reason}{tried}", outcome.status)
        message = error_message(outcome)
        advice = self._permanent_advice(message) or self._status_advice(outcome.status)
        return self.error(
            f"{self.provider.title} answered {outcome.status}{tried}: {message}{f'. {advice}' if advice else ''}",
            outcome.status,
        )

    def _status_advice(self, status: int) -> str | None:
        if 300 <= status < 400:
            return "Redirects are not followed, since the key would go along: give the final address as base_url"
        if status == 401:
            question = "Is it the right key?" if self.key is not None else "No key was sent."
            return f"{question} It is taken from api_key=, or from {' or '.join(self.provider.key_variables)}"
        return None

    def _out_of_time(self, attempts: int, outcome: HttpResponse | Failure | None = None) -> RemoteError:
        status = None if outcome is None else outcome.status
        last = "" if outcome is None else f"; the last: {outcome.reason if isinstance(outcome, Failure) else status}"
        times = f"{attempts} attempt" + ("" if attempts == 1 else "s")
        return self.error(f"total_timeout={self.policy.total_timeout:g} s was over after {times}{last}", status)


def _encode_json(body: Mapping[str, Any]) -> bytes:
    """Return the JSON of a request, its texts as they are: a service reads them as it does for everybody."""
    return replace_half_pairs(json.dumps(body, ensure_ascii=False)).encode()
