"""A scorer with a cache: the score of a query and a text that were scored before, by the same model, is looked up."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Self

from resift._util.arguments import shown
from resift._util.worker import Worker
from resift.errors import InputError
from resift.scorer import (
    Request,
    Scorer,
    ScorerTraits,
    Scores,
    Span,
    Usage,
    WrapperScorer,
    as_scores,
    score_many,
    with_instruction,
)
from resift.scoring.cache_stores import DiskStore, MemoryStore
from resift.scoring.load import check_scorer

KEY_FORMAT = 2  # part of every key: raise it when resift itself reads texts in another way
MEMORY_BYTES = 64 * 1024 * 1024
STORED_SCORE = struct.Struct("<dqqb")
"""A score as it is stored: its number, and the start, end and `truncated` of its span."""
NO_SPAN = (0, 0, -1)  # in place of a span where the text was read whole


class Cached(WrapperScorer):
    """A scorer around another one that stores scores, and the spans they came from.

    Scores are kept in memory, those used last; with a `path` also in an SQLite file that processes share. The file
    holds digests, never texts. It grows to 1 GiB, then the oldest scores are removed.

    A key is made of the scorer's `identity` (for the engines: checksum of the model's files, engine, precision, maximum
    length, `long_documents`, a language model's template and instruction), the query and the text, so a changed model
    never gets the scores of another. If the file is damaged, locked or full, a warning is logged and scores are
    computed.

    Args:
        scorer: The scorer to ask for what is not stored. It needs an `identity`.
        path: The SQLite file. Default: none, scores are kept in this process only.
        memory_bytes: Limit of the memory for scores, in bytes; about 256 a score.

    Raises:
        InputError: The scorer has no `identity`, or its scores depend on the whole list.

    >>> from resift import load_scorer
    >>> cached = Cached(load_scorer())
    >>> first, second = (cached.score("what eats bamboo?", ["Pandas eat bamboo."]) for _ in range(2))
    >>> first.values == second.values, second.usage.pairs, second.usage.cache_hits
    (True, 0, 1)
    """

    def __init__(
        self, scorer: Scorer, path: str | os.PathLike[str] | None = None, *, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        super().__init__(check_scorer(scorer))
        if path is not None and (not isinstance(path, str | os.PathLike) or not os.fspath(path)):
            raise InputError(f"a cache is the path of a file, not {shown(path)}")
        self._identity = _identity_of(scorer)
        self.path = None if path is None else os.fspath(path)
        self.memory_bytes = memory_bytes
        self._memory = MemoryStore(memory_bytes)
        self._worker = Worker(limit=1024, name="the score cache")
        self._disk = None if self.path is None else DiskStore(self.path)

    @property
    def identity(self) -> str:
        """The wrapped scorer's: kept scores are the same."""
        return self._identity

    def with_instruction(self, instruction: str) -> Self:
        """Return this cache around the scorer with an instruction, which is part of every key."""
        (scorer,) = scorers = [with_instruction(self.scorer, instruction)]
        copy = self._around(scorers)
        before, after = ScorerTraits.of(self.scorer).identity, ScorerTraits.of(scorer).identity
        # A scorer whose identity leaves the instruction out must not get the scores of another one.
        copy._identity = after if after and after != before else f"{before}\ninstruction {instruction}"
        return copy

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of each request; `usage.cache_hits` counts those that were stored.

        What is not stored, of all requests, is scored in one pass.
        """
        cached_requests = [_CachedRequest(self._identity, request) for request in requests]
        self._look_up(cached_requests)
        incomplete = [request for request in cached_requests if request.missing]
        answers = score_many(self.scorer, [request.missing_request() for request in incomplete]) if incomplete else []
        for request, answer in zip(incomplete, answers, strict=True):
            self._store(request, answer)
        return [request.scores() for request in cached_requests]

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """Return `score`, awaited; the file is read and written in a thread."""
        request = _CachedRequest(self._identity, Request(query, documents))
        await self._worker.run(partial(self._look_up, [request]))
        if request.missing:
            answer = await super().ascore(*request.missing_request())
            await self._worker.run(partial(self._store, request, answer))
        return request.scores()

    def close(self) -> None:
        """Close the file; scoring goes on without it."""
        self.close_loaded()
        if self._disk is not None:
            self._disk.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await self.aclose_loaded()
        self.close()

    def _look_up(self, requests: Sequence[_CachedRequest]) -> None:
        for request in requests:
            request.stored = self._memory.get(request.missing)
        if self._disk is not None:
            on_disk = self._disk.get([key for request in requests for key in request.missing])
            self._memory.put(on_disk)
            for request in requests:
                request.stored |= {key: on_disk[key] for key in request.missing if key in on_disk}

    def _store(self, request: _CachedRequest, answer: Sequence[float]) -> None:
        new_scores = request.add(as_scores(self.scorer, answer, len(request.missing)))
        self._memory.put(new_scores)
        if self._disk is not None:
            self._disk.put(new_scores)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.scorer, self.path, self.memory_bytes))


class _CachedRequest:
    """A request with the key of each of its documents, and the scores that are known so far."""

    def __init__(self, identity: str, request: Request) -> None:
        self.request = request
        prefix = blake2b(_join_with_lengths(f"{KEY_FORMAT}", identity, request.query), digest_size=20)
        self.keys = [_key(prefix, text) for text in request.documents]
        self.stored: dict[bytes, bytes] = {}
        """Key → `STORED_SCORE`."""
        self._answer = Scores((), Usage())
        self._computed = 0

    @property
    def missing(self) -> dict[bytes, str]:
        """Key → text of the documents without a score, equal texts once."""
        pairs = zip(self.keys, self.request.documents, strict=True)
        return {key: text for key, text in pairs if key not in self.stored}

    def missing_request(self) -> Request:
        """Return a request for the documents without a score."""
        return Request(self.request.query, list(self.missing.values()))

    def add(self, answer: Scores) -> dict[bytes, bytes]:
        """Add the scores of what was missing. Return those that may be stored."""
        missing = list(self.missing)
        self._answer, self._computed = answer, len(missing)
        new_scores = {
            key: STORED_SCORE.pack(answer[index], *answer.spans.get(index, NO_SPAN))
            for index, key in enumerate(missing)
        }
        self.stored |= new_scores
        return {} if answer.degraded else {key: stored for key, stored in new_scores.items() if _is_finite(stored)}

    def scores(self) -> Scores:
        """Return the scores of all documents, once none is missing."""
        entries = [STORED_SCORE.unpack(self.stored[key]) for key in self.keys]
        spans = {
            index: Span(start, end, bool(truncated))
            for index, (_, start, end, truncated) in enumerate(entries)
            if (start, end, truncated) != NO_SPAN
        }
        hits = len(set(self.keys)) - self._computed
        usage = self._answer.usage + Usage(cache_hits=hits)
        return Scores(tuple(score for score, *_ in entries), usage, spans, self._answer.degraded)


def _identity_of(scorer: Scorer) -> str:
    """Return the scorer's identity. Raise InputError if its scores must not be stored."""
    traits = ScorerTraits.of(scorer)
    if traits.whole_lists:
        raise InputError(f"{scorer.name} orders a list as a whole: its scores mean nothing in another list")
    identity = traits.identity
    if isinstance(identity, str) and identity:
        return identity
    needed = "an `identity`, a text that changes with everything that changes scores"
    if traits.awaitable:
        raise InputError(
            f"scores of {scorer.name} are not kept: nothing tells when the model behind the name of a service changes. "
            f"If you can tell, wrap it in a resift.scorer.WrapperScorer that has {needed}"
        )
    raise InputError(
        f"{scorer.name} has no identity, so that its scores could be taken for another model's. They are kept for a "
        f"scorer of your own, or one around this, that has {needed}"
    )


def _is_finite(stored: bytes) -> bool:
    return math.isfinite(STORED_SCORE.unpack(stored)[0])


def _key(prefix: blake2b, text: str) -> bytes:
    digest = prefix.copy()
    digest.update(_join_with_lengths(text))
    return digest.digest()


def _join_with_lengths(*texts: str) -> bytes:
    """Return the texts, each after its length in bytes: ("ab", "c") and ("a", "bc") differ."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(len(part).to_bytes(8, "little") + part for part in parts)


def _reopen(scorer: Any, path: str | None, memory_bytes: int) -> Cached:
    return Cached(scorer, path, memory_bytes=memory_bytes)
