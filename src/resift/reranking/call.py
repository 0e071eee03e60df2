"""One ranking call made ready: its query, its documents with their texts, and what is asked of the order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from resift._util.arguments import as_list, check_query, shown
from resift.errors import InputError
from resift.scorer import Request
from resift.text.half_pairs import replace_half_pairs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RankCall(Generic[T]):
    """One query with its documents, checked. `slots[i]` is the index of document i's text in `unique`."""

    query: str
    documents: tuple[T, ...]
    unique: list[str]
    slots: list[int]
    started: float
    bodies: tuple[str, ...] | None = None
    """What evidence is taken from, of each document; None: its text."""

    @classmethod
    def of(
        cls,
        query: str,
        documents: Iterable[T],
        text: Callable[[T], str] | None,
        body: Callable[[T], str] | None = None,
    ) -> RankCall[T]:
        """Check a query and its documents. Raises InputError for an empty query and for a document without text."""
        started = time.perf_counter()
        check_query(query)
        if text is not None and not callable(text):
            raise InputError(f"text is a function from a document to its text, not {shown(text)}")
        if body is not None and not callable(body):
            raise InputError(f"body is a function from a document to a part of its text, not {shown(body)}")
        listed = tuple(as_list("documents", documents, of="documents", example="[text]"))
        indices: dict[str, int] = {}
        slots = [
            indices.setdefault(_text_of(document, index, text), len(indices)) for index, document in enumerate(listed)
        ]
        bodies = None if body is None else tuple(_body_of(each, index, body) for index, each in enumerate(listed))
        return cls(query, listed, list(indices), slots, started, bodies)

    @classmethod
    def many(
        cls,
        queries: Sequence[str],
        documents: Sequence[Iterable[T]],
        text: Callable[[T], str] | None,
        body: Callable[[T], str] | None = None,
    ) -> list[RankCall[T]]:
        """Check many queries. Raises InputError unless there is a list of documents for each."""
        queries = as_list("queries", queries, of="queries", example="[query]")
        documents = as_list("documents", documents, of="lists of documents", example="[documents]")
        if len(queries) != len(documents):
            raise InputError(f"{len(queries)} queries but {len(documents)} lists of documents; give one list per query")
        return [cls.of(query, listed, text, body) for query, listed in zip(queries, documents, strict=True)]

    def body_of(self, index: int) -> str:
        """Return what evidence is taken from, of a document."""
        return self.unique[self.slots[index]] if self.bodies is None else self.bodies[index]

    @property
    def request(self) -> Request:
        """What a scorer is asked: every text once, as any scorer takes it: without half a surrogate pair."""
        return Request(replace_half_pairs(self.query), [replace_half_pairs(text) for text in self.unique])


def _body_of(document: T, index: int, body: Callable[[T], str]) -> str:
    found: Any = body(document)
    if not isinstance(found, str):
        raise InputError(f"body= gave a {type(found).__name__} for document {index}; it must give a str")
    return found


def _text_of(document: T, index: int, text: Callable[[T], str] | None) -> str:
    found: Any = document if text is None else text(document)
    if isinstance(found, str):
        return found
    if text is None:
        place = 'document["text"]' if isinstance(found, Mapping) else "document.text"
        raise InputError(
            f"document {index} is a {type(found).__name__}, not a text; say where its text is, "
            f"as in rank(query, documents, text=lambda document: {place})"
        )
    raise InputError(f"text= gave a {type(found).__name__} for document {index}; it must give a str")
