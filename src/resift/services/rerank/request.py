"""The body of a rerank request, in the format of its service, and which documents go into which request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from resift.services.rerank.known_services import IN_QUERY, RequestFormat
from resift.text.half_pairs import replace_half_pairs


class DocumentSlice(NamedTuple):
    """The documents of one HTTP request: consecutive ones of those of one query that are sent."""

    query_index: int
    """Which query of the call they belong to."""
    start: int
    """Index of the first of them among the query's documents that are sent."""
    texts: Sequence[str]


def split_documents(
    query_index: int, query: str, documents: Sequence[str], max_documents: int | None, max_bytes: int | None
) -> Iterator[DocumentSlice]:
    """Split a query's documents into as few requests as the two limits allow; each holds at least one document.

    A document costs its own UTF-8 bytes and the query's. None means no limit.
    """
    start, bytes_left = 0, max_bytes or 0
    query_bytes = _size(query) if max_bytes else 0
    for index, text in enumerate(documents):
        cost = query_bytes + _size(text) if max_bytes else 0
        full = index - start == max_documents or (max_bytes is not None and cost > bytes_left)
        if index > start and full:
            yield DocumentSlice(query_index, start, documents[start:index])
            start, bytes_left = index, max_bytes or 0
        bytes_left -= cost
    if documents:
        yield DocumentSlice(query_index, start, documents[start:])


def _size(text: str) -> int:
    return len(replace_half_pairs(text).encode())


def instruct(place: str | None, instruction: str | None, query: str) -> tuple[str, dict[str, str]]:
    r"""Return the query and further fields of a request with an instruction, which goes where `place` says.

    >>> from resift.services.rerank.known_services import IN_QUERY
    >>> instruct(IN_QUERY, "Prefer recent papers.", "panda"), instruct("instruction", "Prefer recent papers.", "panda")
    (('Prefer recent papers.\nQuery: panda', {}), ('panda', {'instruction': 'Prefer recent papers.'}))
    """
    if instruction is None or place is None:
        return query, {}
    if place == IN_QUERY:
        return f"{instruction}\nQuery: {query}", {}
    return query, {place: instruction}


def request_body(
    request_format: RequestFormat, model: str | None, query: str, documents: Sequence[str]
) -> dict[str, Any]:
    """Return the JSON body of one request: query and documents, and the model where the service wants it named.

    >>> from resift.services.rerank.known_services import SERVICES
    >>> request_body(SERVICES["cohere"].request_format, "rerank-v3.5", "red fox", ["a fox", "a whale"])
    {'model': 'rerank-v3.5', 'query': 'red fox', 'documents': ['a fox', 'a whale'], 'top_n': 2}
    """
    return {
        **({"model": model} if request_format.names_model and model is not None else {}),
        "query": {"text": query} if request_format.text_objects else query,
        request_format.documents: [{"text": text} for text in documents]
        if request_format.text_objects
        else list(documents),
        **({} if request_format.limit is None else {request_format.limit: len(documents)}),
        **request_format.extra,
    }
