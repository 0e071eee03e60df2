"""A service's answer as data: one finite score per document, and what of the answer is believed."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from resift.scorer import Scale, Usage
from resift.services.http.reply import SHOWN, Reply, UnusableAnswerError, complaint, parse
from resift.services.rerank.services import Wire

ROUNDING = 1e-6  # what a probability computed in float32 may be over 1


class ParsedScores(NamedTuple):
    """The scores of one request's documents, in their order, and the documents' places in the server's."""

    scores: list[float]
    order: list[int]
    usage: Usage


def read(wire: Wire, scale: Scale, reply: Reply, count: int) -> ParsedScores:
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
    return ParsedScores([scores[place] for place in range(count)], list(scores), usage(reply, answer, count))


def _pair(result: Any, name: str) -> tuple[int, float]:
    index, score = (result.get("index"), result.get(name)) if isinstance(result, dict) else (None, None)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise UnusableAnswerError(f"a result without a usable index: {result!r:.{SHOWN}}")
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        raise UnusableAnswerError(f"a {name} that is no number for document {index}: {score!r:.{SHOWN}}")
    return index, float(score)


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
