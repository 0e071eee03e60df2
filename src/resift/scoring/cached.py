"""Scores kept: the same query over the same text, read by the same model, costs a look-up."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

from resift._util.worker import Worker
from resift.errors import InputError
from resift.scorer import AsyncScorer, Request, Scale, Scorer, Scores, Span, Usage, as_scores, score_many
from resift.scoring.cache_stores import DiskStore, MemoryStore

FORMAT = 1  # part of every key: raise it when resift itself reads texts in another way
MEMORY_BYTES = 64 * 1024 * 1024
ENTRY = struct.Struct("<dqqb")
WHOLE = (0, 0, -1)  # in place of a span: the text was read whole


class Cached:
    """A scorer that remembers: scores, and the spans they came from.

    Scores are kept in memory, at most `memory_bytes`, those asked for last; with a `path` also in an SQLite file,
    which processes may share. The file holds digests, never texts.

    A key is made of the scorer's `identity` (for the engines: checksum of the model's files, engine, precision,
    maximum length, `long_documents`, and a language model's template), the query and the text: another model never
    meets these scores. A damaged, locked or full file is logged as a warning, and scores are computed.

    Raises InputError for a scorer that has no `identity`, and for one whose scores depend on the whole list.

    >>> from resift import load_scorer
    >>> cached = Cached(load_scorer())
    >>> first, second = (cached.score("what eats bamboo?", ["Pandas eat bamboo."]) for _ in range(2))
    >>> first.values == second.values, second.usage.pairs, second.usage.cache_hits
    (True, 0, 1)
    """

    def __new__(cls, scorer: Scorer, *_: Any, **__: Any) -> Cached:
        """A scorer that can be awaited still can be."""
        return super().__new__(_AsyncCached if isinstance(scorer, AsyncScorer) else cls)

    def __init__(
        self, scorer: Scorer, path: str | os.PathLike[str] | None = None, *, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.scorer = scorer
        identity = getattr(scorer, "identity", None)
        if scorer.scale is Scale.ORDINAL:
            raise InputError(f"{scorer.name} orders a list as a whole: its scores mean nothing in another list")
        if not isinstance(identity, str) or not identity:
            raise InputError(
                f"{self.scorer.name} has no identity, so that its scores could be taken for another model's; give it "
                "an attribute `identity`, a text that changes with everything that changes scores"
            )
        self.name = self.scorer.name
        self.scale = self.scorer.scale
        self.identity = identity
        self.path = None if path is None else os.fspath(path)
        self.memory_bytes = memory_bytes
        self.long_documents = getattr(self.scorer, "long_documents", None)
        self.batch_tokens = getattr(self.scorer, "batch_tokens", 0)
        self._memory = MemoryStore(memory_bytes)
        self._disk = None if self.path is None else DiskStore(self.path)

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """As the scorer's; what is known already counts as `cache_hits`."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """As the scorer's: what is missing of all requests is scored in one pass."""
        lists = [_List(self.identity, request) for request in requests]
        self._look_up(lists)
        asked = [one for one in lists if one.missing]
        answers = score_many(self.scorer, [one.rest for one in asked]) if asked else []
        for one, answer in zip(asked, answers, strict=True):
            self._keep(one, answer)
        return [one.scores() for one in lists]

    def close(self) -> None:
        """Closes the file; scoring goes on without it."""
        if self._disk is not None:
            self._disk.close()

    def _look_up(self, lists: Sequence[_List]) -> None:
        for one in lists:
            one.found = self._memory.get(one.missing)
        if self._disk is not None:
            on_disk = self._disk.get([key for one in lists for key in one.missing])
            self._memory.put(on_disk)
            for one in lists:
                one.found |= {key: on_disk[key] for key in one.missing if key in on_disk}

    def _keep(self, one: _List, answer: Sequence[float]) -> None:
        fresh = one.take(as_scores(self.scorer, answer, len(one.missing)))
        self._memory.put(fresh)
        if self._disk is not None:
            self._disk.put(fresh)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.scorer, self.path, self.memory_bytes))


class _AsyncCached(Cached):
    """Around a scorer that waits for a service: looking up in a file is left to a thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._worker = Worker(limit=1024)

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """As `score`."""
        assert isinstance(self.scorer, AsyncScorer)  # noqa: S101 - why this class was chosen
        one = _List(self.identity, Request(query, documents))
        await self._worker.run(partial(self._look_up, [one]))
        if one.missing:
            answer = await self.scorer.ascore(*one.rest)
            await self._worker.run(partial(self._keep, one, answer))
        return one.scores()


class _List:
    """One request with its keys, and what is known of them."""

    def __init__(self, identity: str, request: Request) -> None:
        self.request = request
        head = blake2b(_delimited(f"{FORMAT}", identity, request.query), digest_size=20)
        self.keys = [_key(head, text) for text in request.documents]
        self.found: dict[bytes, bytes] = {}
        self.answer = Scores((), Usage())
        self.computed = 0

    @property
    def missing(self) -> dict[bytes, str]:
        """Key → text of what is not known, each once."""
        pairs = zip(self.keys, self.request.documents, strict=True)
        return {key: text for key, text in pairs if key not in self.found}

    @property
    def rest(self) -> Request:
        return Request(self.request.query, list(self.missing.values()))

    def take(self, answer: Scores) -> dict[bytes, bytes]:
        """Takes in the scores of what was missing, and gives what can be kept of them."""
        self.answer, missing = answer, list(self.missing)
        self.computed = len(missing)
        fresh = {}
        for place, key in enumerate(missing):
            fresh[key] = ENTRY.pack(answer[place], *answer.spans.get(place, WHOLE))
        self.found |= fresh
        return {} if answer.degraded else {key: kept for key, kept in fresh.items() if _is_finite(kept)}

    def scores(self) -> Scores:
        entries = [ENTRY.unpack(self.found[key]) for key in self.keys]
        spans = {
            place: Span(start, end, bool(truncated))
            for place, (_, start, end, truncated) in enumerate(entries)
            if (start, end, truncated) != WHOLE
        }
        hits = len(set(self.keys)) - self.computed
        usage = self.answer.usage + Usage(cache_hits=hits)
        return Scores(tuple(score for score, *_ in entries), usage, spans, self.answer.degraded)


def _is_finite(entry: bytes) -> bool:
    return math.isfinite(ENTRY.unpack(entry)[0])


def _key(head: blake2b, text: str) -> bytes:
    digest = head.copy()
    digest.update(_delimited(text))
    return digest.digest()


def _delimited(*texts: str) -> bytes:
    """Each with its length before it: ("ab", "c") and ("a", "bc") stay apart."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def _reopen(scorer: Any, path: str | None, memory_bytes: int) -> Cached:
    return Cached(scorer, path, memory_bytes=memory_bytes)
