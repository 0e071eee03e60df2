"""Requests and answers as data: how one is put together, and what is believed of the other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from resift.remote.services import Wire
from resift.scorer import Scale, Usage

SHOWN = 200  # characters of an answer that an error quotes
ROUNDING = 1e-6  # what a probability computed in float32 may be over 1


class Reply(NamedTuple):
    """An HTTP answer, read to its end. Headers have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Part(NamedTuple):
    """The documents of one request: those of `request` from `start` on."""

    request: int
    start: int
    texts: Sequence[str]


class Scored(NamedTuple):
    """The scores of one request's documents, in their order, and the documents' places in the server's."""

    scores: list[float]
    order: list[int]
    usage: Usage


class UnusableAnswerError(ValueError):
    """An answer that is no answer to what was asked; says what is wrong with it."""


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


def encoded(asked: Mapping[str, Any]) -> bytes:
    """JSON. Half a surrogate pair, which no encoding of a text can hold, goes as a question mark."""
    return json.dumps(asked, ensure_ascii=False).encode(errors="replace")


def read(wire: Wire, scale: Scale, reply: Reply, count: int) -> Scored:
    """The scores of `count` documents, each put in its place by its `index`.

    Raises UnusableAnswerError unless there is exactly one finite score for each of them, and, on a scale that says
    so, one between 0 and 1.
    """
    answer = parse(reply)
    results = answer if wire.results is None else answer.get(wire.results) if isinstance(answer, dict) else None
    if not isinstance(results, list):
        wanted = "no list" if wire.results is None else f"no list of {wire.results!r}"
        raise UnusableAnswerError(f"an answer with {wanted}: {complaint(reply)}")
    if len(results) != count:
        raise UnusableAnswerError(f"{len(results)} results for {count} documents: {complaint(reply)}")
    scores: dict[int, float] = {}
    for result in results:
        index, score = _pair(result, wire.score)
        if index >= count:
            raise UnusableAnswerError(f"a result for document {index}, but there are {count}, counted from 0")
        if index in scores:
            raise UnusableAnswerError(f"two results for document {index}")
        if scale is Scale.PROBABILITY and not -ROUNDING <= score <= 1 + ROUNDING:
            raise UnusableAnswerError(
                f"a score of {score} for document {index}, where 0 to 1 was expected: "
                "if these are logits or similarities, say scale='logit' or scale='similarity'"
            )
        scores[index] = score
    return Scored([scores[place] for place in range(count)], list(scores), usage(reply, answer, count))


def _pair(result: Any, name: str) -> tuple[int, float]:
    index, score = (result.get("index"), result.get(name)) if isinstance(result, dict) else (None, None)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise UnusableAnswerError(f"a result without a usable index: {result!r:.{SHOWN}}")
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        raise UnusableAnswerError(f"a {name} that is no number for document {index}: {score!r:.{SHOWN}}")
    return index, float(score)


def parse(reply: Reply) -> Any:
    """The answer's JSON. Raises UnusableAnswerError if it is none."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        kind = reply.headers.get("content-type", "nothing")
        raise UnusableAnswerError(f"an answer that is no JSON (it says it is {kind}): {complaint(reply)}") from None


def documents_a_request(reply: Reply) -> int | None:
    """What text-embeddings-inference's `/info` says; None where it says nothing usable."""
    try:
        told = _at(parse(reply), "max_client_batch_size")
    except UnusableAnswerError:
        return None
    return told if isinstance(told, int) and not isinstance(told, bool) and told > 0 else None


def usage(reply: Reply, answer: Any, count: int) -> Usage:
    """What the answer says it cost, where it says so: in its body, or in text-embeddings-inference's headers."""
    compute = reply.headers.get("x-compute-tokens", "")
    tokens = (
        _at(answer, "usage", "total_tokens")
        or _at(answer, "meta", "tokens", "input_tokens")
        or (int(compute) if compute.isdecimal() else 0)
    )
    billed = _at(answer, "meta", "billed_units")
    return Usage(
        pairs=count,
        tokens=int(tokens) if _is_number(tokens) else 0,
        calls=1,
        billed={unit: float(much) for unit, much in billed.items() if _is_number(much)}
        if isinstance(billed, dict)
        else {},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _at(answer: Any, *path: str) -> Any:
    for name in path:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


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
