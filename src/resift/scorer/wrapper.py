"""Bases of scorers: one that scores in batches, and one that is made of other scorers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Self
from weakref import WeakSet

from resift.errors import InputError
from resift.scorer.checks import as_scores, entry_of, score_many
from resift.scorer.instructions import with_instruction
from resift.scorer.protocol import AsyncScorer, LongDocuments, Scorer, ScorerTraits
from resift.scorer.scores import Request, Scale, Scores

POLL_SECONDS = 0.01  # between two looks at a scorer that a thread is inside of


class ScorerBase:
    """Base of scorers that have `score_many`: `score` is its answer to one request."""

    def score_many(self, requests: Sequence[Request]) -> Sequence[Scores]:
        """Return one `Scores` per request, in their order."""
        raise NotImplementedError(f"{type(self).__name__} must define score_many")

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """Return one number per document, in their order. Raises what `score_many` raises."""
        return self.score_many([Request(query, documents)])[0]


class WrapperScorer(ScorerBase):
    """Base of scorers made of other scorers. It forwards the whole protocol; override what your scorer changes.

    With one scorer inside, everything is that scorer's. With several, a trait is what all agree on, or the careful
    choice. `close` closes the scorers that the wrapper has loaded itself, and no others: those have an owner.

    Override `score_many`, and `ascore` too if the wrapped scorer can be awaited. A class that overrides scoring has no
    `identity` unless it gives one: kept scores of the wrapped scorer are not its own.

    Args:
        scorers: The wrapped scorers, at least one.
        loaded: Those of them that this wrapper has loaded, and so closes.

    >>> from resift.testing import OverlapScorer
    >>> class Quiet(WrapperScorer):
    ...     def score_many(self, requests):
    ...         return super().score_many([Request(query.lower(), documents) for query, documents in requests])
    >>> list(Quiet(OverlapScorer()).score("RED FOX", ["the red fox"]))
    [1.0]
    """

    _scores_itself = False
    """Whether a derived class overrides scoring."""
    _awaits_itself = False
    """Whether it overrides `ascore` as well."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "score" in vars(cls):
            raise TypeError(f"{cls.__name__} overrides score: override score_many, of which score is a part")
        if "score_many" in vars(cls):
            cls._scores_itself, cls._awaits_itself = True, "ascore" in vars(cls)
        elif "ascore" in vars(cls):
            cls._scores_itself = cls._awaits_itself = True

    def __init__(self, *scorers: Scorer, loaded: Iterable[Scorer] = ()) -> None:
        if not scorers:
            raise InputError(f"{type(self).__name__} wraps at least one scorer, got none")
        self.scorers: tuple[Scorer, ...] = scorers
        self._loaded = tuple(loaded)
        self.users: WeakSet[Any] = WeakSet()
        """Rerankers that hold this wrapper: the last one that is closed closes what the wrapper has loaded."""

    @property
    def scorer(self) -> Scorer:
        """The wrapped scorer; the first of several."""
        return self.scorers[0]

    @property
    def name(self) -> str:
        """The wrapped scorer's name; of several, all names."""
        return " + ".join(scorer.name for scorer in self.scorers)

    @property
    def scale(self) -> Scale:
        """The wrapped scorers' scale; `ORDINAL` where they differ."""
        scales = {scorer.scale for scorer in self.scorers}
        return scales.pop() if len(scales) == 1 else Scale.ORDINAL

    @property
    def identity(self) -> str | None:
        """The wrapped scorer's; None for several, and where scoring is overridden."""
        return self._traits()[0].identity if len(self.scorers) == 1 and not self._scores_itself else None

    @property
    def long_documents(self) -> LongDocuments | None:
        """What all wrapped scorers that have this choice do; None where they differ."""
        choices = {traits.long_documents for traits in self._traits() if traits.long_documents is not None}
        return choices.pop() if len(choices) == 1 else None

    @property
    def max_length(self) -> int | None:
        """The smallest of the wrapped scorers'."""
        return min((traits.max_length for traits in self._traits() if traits.max_length is not None), default=None)

    @property
    def batch_tokens(self) -> int:
        """The smallest of the wrapped scorers'."""
        return min(traits.batch_tokens for traits in self._traits())

    @property
    def round_tokens(self) -> int:
        """The smallest of the wrapped scorers'."""
        return min(traits.round_tokens for traits in self._traits())

    @property
    def whole_lists(self) -> bool:
        """Whether any of the wrapped scorers needs whole lists."""
        return any(traits.whole_lists for traits in self._traits())

    @property
    def awaitable(self) -> bool:
        """Whether the wrapped scorers are to be awaited, and `ascore` is overridden where `score_many` is."""
        can_be = self._awaits_itself or not self._scores_itself
        return can_be and all(traits.awaitable for traits in self._traits())

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the wrapped scorer's answers, each with one number per document. Raises ScorerError where it fails."""
        answers = score_many(self.scorer, requests)
        return [
            as_scores(self.scorer, answer, len(request.documents))
            for request, answer in zip(requests, answers, strict=True)
        ]

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """Return `score`, awaited. Called only where `awaitable` is true."""
        if not isinstance(self.scorer, AsyncScorer):
            raise InputError(f"{self.scorer.name} can't be awaited; use score, or arank of a Reranker")
        return as_scores(self.scorer, await self.scorer.ascore(query, documents), len(documents))

    def with_instruction(self, instruction: str) -> Self:
        """Return this wrapper around the same scorers with an instruction. It has loaded none of them.

        Raises InputError where one of them reads none.
        """
        return self._around([with_instruction(scorer, instruction) for scorer in self.scorers])

    def _around(self, scorers: Iterable[Scorer]) -> Self:
        """Return a copy around other scorers, which it doesn't close."""
        copy = object.__new__(type(self))  # without __init__, of which derived classes have their own
        copy.__dict__.update(self.__dict__, scorers=tuple(scorers), users=WeakSet(), _loaded=())
        return copy

    def close(self) -> None:
        """Close the scorers that this wrapper, or a wrapper inside it, has loaded."""
        self.close_loaded()

    async def aclose(self) -> None:
        """Close the same scorers without blocking the event loop."""
        await self.aclose_loaded()

    def close_loaded(self) -> None:
        """Close what was loaded by name, here and in wrappers inside that no reranker uses; own files stay open."""
        with ExitStack() as stack:  # one that fails to close keeps no other open
            for scorer in self.scorers:
                if any(scorer is loaded for loaded in self._loaded):
                    stack.callback(close_scorer, scorer)
                elif isinstance(scorer, WrapperScorer) and not scorer.users:
                    stack.callback(scorer.close_loaded)

    async def aclose_loaded(self) -> None:
        """Do the same without blocking the event loop."""
        async with AsyncExitStack() as stack:
            for scorer in self.scorers:
                if any(scorer is loaded for loaded in self._loaded):
                    stack.push_async_callback(aclose_scorer, scorer)
                elif isinstance(scorer, WrapperScorer) and not scorer.users:
                    stack.push_async_callback(scorer.aclose_loaded)

    def _traits(self) -> list[ScorerTraits]:
        return [ScorerTraits.of(scorer) for scorer in self.scorers]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "users": None}  # they live in this process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, users=WeakSet())


def close_scorer(scorer: Scorer) -> None:
    """Call the scorer's `close`, if it has one, once no thread is inside."""
    with entry_of(scorer):
        if close := getattr(scorer, "close", None):
            close()


async def aclose_scorer(scorer: Scorer) -> None:
    """Await the scorer's `aclose` and call its `close`, whichever it has, once no thread is inside."""
    import asyncio  # not at the top: importing it takes 60 ms, and who awaits has done so

    entry = entry_of(scorer)
    while not entry.acquire(blocking=False):  # noqa: ASYNC110 - a thread is inside, and threads know no asyncio.Event
        await asyncio.sleep(POLL_SECONDS)
    try:
        if aclose := getattr(scorer, "aclose", None):
            await aclose()
        if close := getattr(scorer, "close", None):
            close()
    finally:
        entry.release()
