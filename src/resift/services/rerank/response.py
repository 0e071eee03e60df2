"""The response of a service as data: one finite score per document, and what the request cost."""

from __future__ import annotations

from typing import Any, NamedTuple

from resift.scorer import Scale, Usage
from resift.services.http.response import (
    HttpResponse,
    UnusableResponseError,
    as_count,
    as_number,
    error_message,
    parse_json,
    quote,
)
from resift.services.rerank.known_services import RequestFormat

DIGITS_READ = 20  # of a number in a header; Python refuses to read thousands of them
PROBABILITY_TOLERANCE = 1e-6  # by which a probability computed in float32 may exceed 1


class ParsedScores(NamedTuple):
    """What one response says about the documents of its request."""

    scores: list[float]
    """One per document, in their order."""
    order: list[int]
    """Indices of the documents, in the order in which the service returned them."""
    usage: Usage


def parse_response(
    request_format: RequestFormat, scale: Scale, response: HttpResponse, document_count: int
) -> ParsedScores:
    """Return the scores of the request's documents, matched by the `index` of each result.

    Raises UnusableResponseError unless there is exactly one finite score for each document, and, on the probability
    scale, one between 0 and 1.
    """
    body = parse_json(response)
    results = _results(request_format, body, response)
    if len(results) != document_count:
        raise UnusableResponseError(f"{len(results)} results for {document_count} documents: {error_message(response)}")
    scores: dict[int, float] = {}
    for result in results:
        index, score = _index_and_score(result, request_format.score)
        if index >= document_count:
            raise UnusableResponseError(
                f"a result for document {quote(index)}, but there are {document_count}, counted from 0"
            )
        if index in scores:
            raise UnusableResponseError(f"two results for document {index}")
        if scale is Scale.PROBABILITY and not -PROBABILITY_TOLERANCE <= score <= 1 + PROBABILITY_TOLERANCE:
            raise UnusableResponseError(
                f"a score of {score} for document {index}, where 0 to 1 was expected: "
                "if these are logits or similarities, say scale='logit' or scale='similarity'"
            )
        scores[index] = score
    in_order = [scores[index] for index in range(document_count)]
    return ParsedScores(in_order, list(scores), _usage(response, body, document_count))


def parse_document_limit(response: HttpResponse) -> int | None:
    """Return the documents of one request, from text-embeddings-inference's `/info`; None where it says no number."""
    try:
        limit = _nested(parse_json(response), "max_client_batch_size")
    except UnusableResponseError:
        return None
    return as_count(limit) or None if isinstance(limit, int) else None


def _results(request_format: RequestFormat, body: Any, response: HttpResponse) -> list[Any]:
    name = request_format.results
    results = body if name is None else body.get(name) if isinstance(body, dict) else None
    if isinstance(results, list):
        return results
    missing = "no list" if name is None else f"no list of {name!r}"
    raise UnusableResponseError(f"an answer with {missing}: {error_message(response)}")


def _index_and_score(result: Any, score_field: str) -> tuple[int, float]:
    index, score = (result.get("index"), result.get(score_field)) if isinstance(result, dict) else (None, None)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise UnusableResponseError(f"a result without a usable index: {quote(result)}")
    number = as_number(score)
    if number is None:
        raise UnusableResponseError(f"a {score_field} that is no number for document {quote(index)}: {quote(score)}")
    return index, number


def _usage(response: HttpResponse, body: Any, document_count: int) -> Usage:
    """Return what the request cost, from the body or text-embeddings-inference's headers; 0 where neither says it.

    It is a hint: a value that can't be is left out.
    """
    tokens = as_count(_nested(body, "usage", "total_tokens")) or as_count(
        _nested(body, "meta", "tokens", "input_tokens")
    )
    header_tokens = response.headers.get("x-compute-tokens", "")
    if not tokens and header_tokens.isdecimal() and len(header_tokens) <= DIGITS_READ:
        tokens = as_count(int(header_tokens))
    billed = _nested(body, "meta", "billed_units")
    amounts = {unit: as_number(amount) for unit, amount in billed.items()} if isinstance(billed, dict) else {}
    return Usage(
        pairs=document_count,
        tokens=tokens,
        calls=1,
        billed={unit: amount for unit, amount in amounts.items() if amount is not None},
    )


def _nested(value: Any, *names: str) -> Any:
    """Return the value at a path of field names in JSON objects; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
