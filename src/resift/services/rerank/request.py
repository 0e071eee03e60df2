"""A request to a service as data: which documents go in it, and its JSON body in the service's own spelling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from resift.services.http.reply import encoded
from resift.services.rerank.services import Wire


class Part(NamedTuple):
    """The documents of one request: those of `request` from `start` on."""

    request: int
    start: int
    texts: Sequence[str]


def parts(request: int, query: str, documents: Sequence[str], limit: int | None, size: int | None) -> Iterator[Part]:
    """The documents in as few requests as `limit` documents and `size` bytes allow; at least one in each."""
    start, room = 0, size or 0
    asked = len(query.encode(errors="replace")) if size else 0
    for place, text in enumerate(documents):
        cost = asked + len(text.encode(errors="replace")) if size else 0
        full = place - start == limit or (size is not None and cost > room)
        if place > start and full:
            yield Part(request, start, documents[start:place])
            start, room = place, size or 0
        room -= cost
    if documents:
        yield Part(request, start, documents[start:])


def body(wire: Wire, model: str | None, query: str, documents: Sequence[str]) -> bytes:
    """The request."""
    asked: dict[str, Any] = {
        **({"model": model} if wire.model and model is not None else {}),
        "query": {"text": query} if wire.as_objects else query,
        wire.documents: [{"text": text} for text in documents] if wire.as_objects else list(documents),
        **({} if wire.limit is None else {wire.limit: len(documents)}),
        **wire.extra,
    }
    return encoded(asked)
