"""The response of a service over HTTP: its JSON, and the error message in it."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from resift.text.half_pairs import replace_half_pairs

CHARACTERS_QUOTED = 200  # of a response, in an error
MESSAGE_DEPTH = 8  # objects and lists inside each other, down to an error's message
BYTES_SEARCHED = 100_000  # of a response, for an error's message: real ones are short, and the JSON is read once more
MESSAGE_FIELDS = ("message", "detail", "error", "msg", "title")
"""Fields of an error's message: `message` is Cohere's, `detail` Jina's, Voyage's and FastAPI's, `error` the others'."""

LARGEST_COUNT = 2**53  # up to here, a float holds every whole number

_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxlist, _repr.maxdict, _repr.maxstring = 4, 4, 8, CHARACTERS_QUOTED


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
        kind = _one_line(response.headers.get("content-type", "nothing"))
        raise UnusableResponseError(
            f"an answer that is no JSON (it says it is {kind}): {error_message(response)}"
        ) from None


def error_message(response: HttpResponse) -> str:
    """Return the message that the response's JSON holds, or else the beginning of its text, as one line."""
    text = response.body[: CHARACTERS_QUOTED * 50].decode(errors="replace")
    try:
        body = json.loads(response.body) if len(response.body) <= BYTES_SEARCHED else None
    except (ValueError, RecursionError):
        body = None
    return _one_line(_find_message(body, MESSAGE_DEPTH) or text) or "(it says nothing more)"


def quote(value: Any) -> str:
    """Return a short repr of a JSON value: deep ones are cut, since `repr` of them raises RecursionError.

    >>> quote([[[[["a"]]]]]), quote(10**4000)
    ('[[[[[...]]]]]', '100000000000000000...0000000000000000000')
    """
    text = _repr.repr(value)
    return text if len(text) <= CHARACTERS_QUOTED else f"{text[: CHARACTERS_QUOTED - 1]}…"


def as_number(value: Any) -> float | None:
    """Return a JSON number as a float; None for what is no number, or none that a float holds: NaN, 1e999, 10**400.

    >>> as_number(3), as_number(10**400), as_number(True), as_number("3")
    (3.0, None, None, None)
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def as_count(value: Any) -> int:
    """Return what a service says of its cost as a whole number from 0 to LARGEST_COUNT; 0 for everything else.

    >>> as_count(42), as_count(-1), as_count(10**400), as_count(None)
    (42, 0, 0, 0)
    """
    number = as_number(value)
    return int(number) if number is not None and 0 <= number <= LARGEST_COUNT else 0


def _find_message(value: Any, depth: int) -> str | None:
    """Return the message of a JSON value: a text, a list of messages, or an object with one of MESSAGE_FIELDS.

    Objects and lists are searched `depth` levels deep.
    """
    if isinstance(value, str):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return "; ".join(filter(None, (_find_message(item, depth - 1) for item in value[:3])))
    if not isinstance(value, dict):
        return None
    messages = (text for name in MESSAGE_FIELDS if (text := _find_message(value.get(name), depth - 1)))
    return next(messages, None)


def _one_line(text: str) -> str:
    line = " ".join(replace_half_pairs(text).split())  # JSON can hold half a surrogate pair, and no terminal prints it
    return line if len(line) <= CHARACTERS_QUOTED else line[: CHARACTERS_QUOTED - 1] + "…"
