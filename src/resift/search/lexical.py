"""The words of a Chroma collection as a first stage: BM25 over a lexical index that keeps itself in step with it.

Needs `resift[chroma]`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from chromadb import Collection

from resift._util.arguments import helps_with_names, whole_number
from resift.lexical.index import LexicalHit, LexicalIndex, LexicalIndexError, record_key
from resift.search.candidates import Found, Passage, check_queries
from resift.search.chroma import MOST_RESULTS, check_collection, get_records
from resift.search.filters import check_filters
from resift.search.in_step import CollectionIndex
from resift.text.half_pairs import replace_half_pairs

IDS_PER_CALL = 1000
GROWTH = 4  # how many times as many hits are looked at in the next round, where a filter left too few
MOST_LOOKED_AT = 4000  # hits; after that, Chroma is asked for all ids that pass the filter
LEXICAL = "lexical"

_Record = tuple[str, dict[str, Any]]
"""Text and metadata."""


class LexicalFirstStage:
    """The passages of a Chroma collection that share the most telling words with a query: BM25.

    The index of words lies beside the collection's database, or in memory where that is not a folder of this machine.
    It is made with the first query, and brought up to date with each query after the collection has changed, whoever
    changed it. The collection's embedding function is not used.

    Args:
        collection: An open collection, whoever filled it.
        where: Chroma's filter of metadata.
        where_document: Chroma's filter of texts.
        folder: Where the files of the index are to be. None: beside the collection's database; over HTTP, and of a
            collection in memory, in memory.

    Raises:
        InputError: No collection, or a filter that Chroma doesn't take.
    """

    @helps_with_names
    def __init__(
        self,
        collection: Collection,
        where: dict[str, Any] | None = None,
        where_document: dict[str, Any] | None = None,
        *,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        check_collection(collection)
        check_filters(where, where_document)
        self.collection = collection
        self.where = where
        self.where_document = where_document
        self.index = CollectionIndex(collection, None if folder is None else Path(folder))
        """What keeps the index in step: `index.behind()` says whether it is, `index.update()` brings it up to date."""

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"BM25, collection {self.collection.name}"

    def filtered(
        self, where: dict[str, Any] | None = None, where_document: dict[str, Any] | None = None
    ) -> LexicalFirstStage:
        """Return the same stage with other filters; they share their index. Raises InputError as the class does."""
        stage = LexicalFirstStage(self.collection, where, where_document)
        stage.index = self.index
        return stage

    def retrieve(self, query: str, k: int) -> list[Passage]:
        """Return at most k passages that have a word of the query, the highest BM25 first; equal ones by their ids.

        Raises:
            InputError: A query or a number that makes no sense, a filter or a collection that Chroma can't read.
        """
        return self.retrieve_many([query], k)[0]

    def retrieve_many(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """Return one list per query. Raises as `retrieve` does."""
        texts = [replace_half_pairs(query) for query in check_queries(queries)]
        wanted = min(whole_number("k", k, 1), MOST_RESULTS)
        return [self._retrieve(text, wanted) for text in texts]

    def lacks(self, passages: Sequence[Passage]) -> bool:
        """Return whether the index lacks a passage of the collection. If so, the next query compares all.

        While another process writes, nothing is lacking: to compare all with every query would find it out again.
        """
        if self.index.is_waiting:
            return False
        keys = [record_key(passage.id or "", passage.text) for passage in passages]
        with suppress(LexicalIndexError):  # its files were deleted or damaged since it was searched
            if self.index.current().has(keys):
                return False
        self.index.forget()
        return True

    def _retrieve(self, query: str, k: int) -> list[Passage]:
        try:
            found, stale = self._find(self.index.current(), query, k)
        except LexicalIndexError:  # its files were deleted or damaged since it was opened
            found, stale = [], True
        if stale:  # the collection was changed where nothing showed it: the index is compared record by record
            self.index.forget()
            found, _ = self._find(self.index.current(), query, k)
        return [replace(passage, found={LEXICAL: Found(rank, score)}) for rank, (passage, score) in enumerate(found, 1)]

    def _find(self, index: LexicalIndex, query: str, k: int) -> tuple[list[tuple[Passage, float]], bool]:
        """Return the best k that pass the filters, with their scores; and whether a record is not as it was indexed."""
        filtered = self.where is not None or self.where_document is not None
        found: list[tuple[Passage, float]] = []
        stale = False
        for hits, enough in self._rounds(index, query, k) if filtered else [(index.search(query, k), k)]:
            records = self._records([hit.id for hit in hits])
            for hit in hits:
                text, metadata = records.get(hit.id, (None, {}))
                if text is None:
                    stale |= not filtered  # else the filter left it out
                elif record_key(hit.id, text) != hit.key:
                    stale = True
                else:
                    found.append((Passage(text, hit.id, metadata), hit.score))
            if len(found) >= enough:
                break
        return found[:k], stale

    def _rounds(self, index: LexicalIndex, query: str, k: int) -> Iterator[tuple[list[LexicalHit], int]]:
        """Yield further hits, more in each round, and how many must pass: exact, however few pass the filter."""
        limit, seen = GROWTH * k, 0
        known: set[str] = set()  # by id: of more equal ones than an index looks at, another limit brings others
        while True:
            hits = index.search(query, limit)
            yield [hit for hit in hits if hit.id not in known], k
            known.update(hit.id for hit in hits)
            seen = len(hits)
            if len(hits) < limit:
                return
            if seen >= MOST_LOOKED_AT:
                break
            limit *= GROWTH
        passing = get_records(self.collection, where=self.where, where_document=self.where_document, include=[])["ids"]
        further = [hit for hit in index.search(query, k + len(known), among=passing) if hit.id not in known]
        yield further, k

    def _records(self, ids: Sequence[str]) -> dict[str, _Record]:
        """Return text and metadata of the records that pass the filters, by id."""
        records: dict[str, _Record] = {}
        filters: dict[str, Any] = {"where": self.where, "where_document": self.where_document}
        for start in range(0, len(ids), IDS_PER_CALL):
            part = list(ids[start : start + IDS_PER_CALL])
            page = get_records(self.collection, ids=part, include=["documents", "metadatas"], **filters)
            rows = zip(page["ids"], page["documents"] or (), page["metadatas"] or (), strict=True)
            records |= {id: (text or "", dict(metadata or {})) for id, text, metadata in rows}
        return records
