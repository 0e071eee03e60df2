"""The response of a service over HTTP: its JSON, and the error message in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

CHARACTERS_QUOTED = 200  # of a response, in an error
MESSAGE_FIELDS = ("message", "detail", "error", "msg", "title")
"""Fields of an error's message: `message` is Cohere's, `detail` Jina's, Voyage's and FastAPI's, `error` the others'."""


class HttpResponse(NamedTuple):
    """A response, read to its end. Headers have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class UnusableResponseError(ValueError):
    """A response of status 2xx that doesn't hold what was requested; the message says what is wrong with it."""


def parse_json(response: HttpResponse) -> Any:
    """Return the JSON of a response. Raises UnusableResponseError if it is not JSON."""
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "nothing")
        raise UnusableResponseError(
            f"an answer that is no JSON (it says it is {kind}): {error_message(response)}"
        ) from None


def error_message(response: HttpResponse) -> str:
    """Return the message that the response's JSON holds, or else the beginning of its text, as one line."""
    text = response.body[: CHARACTERS_QUOTED * 50].decode(errors="replace")
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        return _one_line(text) or "(it says nothing more)"
    return _one_line(_find_message(body) or text)


def _find_message(value: Any) -> str | None:
    """Return the message of a JSON value: a text, a list of messages, or an object with one of MESSAGE_FIELDS."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_find_message, value[:3])))
    if not isinstance(value, dict):
        return None
    messages = (text for name in MESSAGE_FIELDS if name in value and (text := _find_message(value[name])))
    return next(messages, None)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CHARACTERS_QUOTED else line[: CHARACTERS_QUOTED - 1] + "…"
