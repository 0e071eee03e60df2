"""An HTTP answer: its JSON, and what it complains about in its own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

SHOWN = 200  # characters of an answer that an error quotes


class Reply(NamedTuple):
    """An HTTP answer, read to its end. Headers have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class UnusableAnswerError(ValueError):
    """An answer that is no answer to what was asked; says what is wrong with it."""


def encoded(asked: Mapping[str, Any]) -> bytes:
    """JSON. Half a surrogate pair, which no encoding of a text can hold, goes as a question mark."""
    return json.dumps(asked, ensure_ascii=False).encode(errors="replace")


def parse(reply: Reply) -> Any:
    """The answer's JSON. Raises UnusableAnswerError if it is none."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        kind = reply.headers.get("content-type", "nothing")
        raise UnusableAnswerError(f"an answer that is no JSON (it says it is {kind}): {complaint(reply)}") from None


def complaint(reply: Reply) -> str:
    """What the provider has to say, in its own words: the message if there is one, else the text's beginning."""
    text = reply.body[: SHOWN * 50].decode(errors="replace")
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return _one_line(text) or "(it says nothing more)"
    found = _message(answer)
    return _one_line(found or text)


def _message(answer: Any) -> str | None:
    """`{"message"}` is Cohere's, `{"detail"}` Jina's, Voyage's and every FastAPI's, `{"error"}` the others'."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list):
        return "; ".join(filter(None, map(_message, answer[:3])))
    if not isinstance(answer, dict):
        return None
    names = ("message", "detail", "error", "msg", "title")
    found = (text for name in names if name in answer and (text := _message(answer[name])))
    return next(found, None)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
