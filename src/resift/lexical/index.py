"""The index itself: which records hold a term, and how often, by tantivy. Needs `resift[chroma]`.

A change is one commit of tantivy's, all of it or, if the process is killed meanwhile, none. Records are told apart by
a key over id and text, so that what differs between an index and a collection is a difference of two sets.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resift.errors import InputError, MissingExtraError
from resift.lexical.terms import terms

try:
    import tantivy
except ImportError as error:
    raise MissingExtraError("the lexical index", "chroma") from error

TERMS_FIELD = "terms2"
"""Raise its number when `terms` changes: an index of other terms is made anew."""
MOST_TERMS = 64  # of a query: the rarest ones. A page of text as a query has hundreds, most of them in every document
COMMON = 0.2
"""The share of the passages above which a term of a query is left out, if another one is below: it says next to
nothing, finds more of the wrong ones than of the right ones (docs/hybrid.md), and takes most of the time."""
FEW = 1000  # records below which no term is common
MEMORY = 64_000_000  # bytes that a writer fills before it writes a segment
MOST_TIES = 2000  # hits that are looked at beyond those that are wanted, where the last ones have equal scores
META_FILE = "meta.json"


class LexicalIndexError(InputError):
    """The files of an index are damaged, or of another version: it must be made anew from its collection."""


@dataclass(frozen=True, slots=True)
class LexicalHit:
    """A record that holds terms of a query."""

    id: str
    key: str
    score: float
    """BM25: comparable within one index only."""


def record_key(id: str, text: str) -> str:
    """Return what tells a record from one with another id or another text."""
    return hashlib.blake2b(f"{id}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class LexicalIndex:
    """An inverted index of records: an id, and the terms of a text.

    One process at a time may write; any number read. Use it from any thread; writes must not run at the same time.

    Args:
        folder: Where its files are, or are to be; None: in memory.

    Raises:
        LexicalIndexError: The files can't be read.
        OSError: The folder can't be made.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._schema = (
            tantivy.SchemaBuilder()
            .add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
            .add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
            .add_text_field(TERMS_FIELD, tokenizer_name="whitespace", index_option="freq")
            .build()
        )
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with self._reading():
            self._index = tantivy.Index(self._schema, None if folder is None else str(folder))
            self._index.config_reader(reload_policy="manual")
            self._index.reload()
        self._read = self._stamp()

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Return whether there is an index in a folder."""
        return (folder / META_FILE).is_file()

    @staticmethod
    def delete(folder: Path) -> None:
        """Delete the files of an index."""
        shutil.rmtree(folder, ignore_errors=True)

    def __len__(self) -> int:
        """Return the number of records. Raises LexicalIndexError where the files are gone or can't be read."""
        with self._reading():
            return int(self._searcher().num_docs)

    def keys(self) -> set[str]:
        """Return the keys of all records."""
        with self._reading():
            everything = tantivy.Query.all_query()  # without it, those of deleted records too
            return {key for key, _ in self._searcher().terms_with_prefix("key", "", filter_query=everything)}

    def has(self, keys: Collection[str]) -> bool:
        """Return whether there is a record for each of these keys."""
        wanted = set(keys)
        if not wanted:
            return True
        with self._reading():
            query = tantivy.Query.term_set_query(self._schema, "key", list(wanted))
            return len(self._searcher().search(query, len(wanted) + 1, count=False).hits) == len(wanted)

    def search(self, query: str, limit: int, among: Collection[str] | None = None) -> list[LexicalHit]:
        """Return the records with the highest BM25, best first; equal ones by their ids.

        Args:
            query: A text.
            limit: How many records at most.
            among: Only records with these ids. None: all.

        Returns:
            Records with at least one term of the query.

        Raises:
            LexicalIndexError: The files can't be read.
        """
        with self._reading():
            searcher = self._searcher()
            wanted = self._query(searcher, query, among)
            limit = min(limit, searcher.num_docs)
            if wanted is None or not limit:
                return []
            most = min(limit + MOST_TIES, searcher.num_docs)
            fetched = min(limit + 1, most)
            hits = searcher.search(wanted, fetched, count=False).hits
            # Which of several equal ones come first depends on the order in which they were added.
            while len(hits) == fetched < most and hits[-1][0] == hits[limit - 1][0]:
                fetched = min(2 * fetched, most)
                hits = searcher.search(wanted, fetched, count=False).hits
            found = [_hit(searcher, score, address) for score, address in hits if score > 0]
        return sorted(found, key=lambda hit: (-hit.score, hit.id))[:limit]

    def change(self, added: Iterable[tuple[str, str]], removed: Iterable[str]) -> None:
        """Add records, ids and texts, and remove others by their keys, all in one commit.

        Args:
            added: Records that the index doesn't have.
            removed: Keys of records; read when all of `added` has been.

        Raises:
            LexicalIndexError: The files can't be read or written.
        """
        with self._reading():
            writer = self._index.writer(MEMORY, 1)
            try:
                for id, text in added:
                    document = {"id": id, "key": record_key(id, text), TERMS_FIELD: " ".join(terms(text))}
                    writer.add_document(tantivy.Document(**document))
                for key in removed:
                    writer.delete_documents_by_term("key", key)
                writer.commit()
            except BaseException:
                writer.rollback()
                raise
            writer.wait_merging_threads()
            self._index.reload()
            self._read = self._stamp()

    def bytes(self) -> int:
        """Return the size of the files."""
        if self.folder is None:
            return 0
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    def _searcher(self) -> Any:
        if (stamp := self._stamp()) != self._read:  # another process changed it
            self._index.reload()
            self._read = stamp
        return self._index.searcher()

    def _stamp(self) -> tuple[int, int, int] | None:
        if self.folder is None:
            return None
        status = (self.folder / META_FILE).stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _query(self, searcher: Any, query: str, among: Collection[str] | None) -> Any:
        """Return tantivy's query; None where no record has a term of it."""
        frequencies = {term: searcher.doc_freq(TERMS_FIELD, term) for term in dict.fromkeys(terms(query))}
        known = sorted((term for term, count in frequencies.items() if count), key=frequencies.__getitem__)
        if not known or (among is not None and not among):
            return None
        count = searcher.num_docs
        if count >= FEW:
            known = [term for term in known if frequencies[term] <= COMMON * count] or known
        query_of, occurs = tantivy.Query, tantivy.Occur
        parts = [
            (occurs.Should, query_of.term_query(self._schema, TERMS_FIELD, term, "freq")) for term in known[:MOST_TERMS]
        ]
        if among is not None:
            one_of = query_of.term_set_query(self._schema, "id", list(among))
            parts.append((occurs.Must, query_of.const_score_query(one_of, 0.0)))
        return query_of.boolean_query(parts)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise LexicalIndexError for what tantivy raises."""
        try:
            yield
        except (ValueError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise LexicalIndexError(f"the lexical index{self._place} can't be used: {error}") from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # what Rust has where it finds something impossible
                raise
            raise LexicalIndexError(f"the lexical index{self._place} is damaged: {error}") from None

    @property
    def _place(self) -> str:
        return "" if self.folder is None else f" in {self.folder}"


def _hit(searcher: Any, score: float, address: Any) -> LexicalHit:
    document = searcher.doc(address)
    return LexicalHit(document.get_first("id"), document.get_first("key"), float(score))
