"""The protocol of a scorer, all of it: what is required, and what is optional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from resift.scorer.scores import Request, Scale

LongDocuments = Literal["truncate", "max_window", "first_window"]


class Scorer(Protocol):
    """Anything that can say how well each text answers a query.

    Required: `name`, `scale` and `score`. Optional methods, each with a default that is right for every scorer:

    - `score_many(requests)`: several queries in one pass (`ManyScorer`). Default: `score` for each.
    - `ascore(query, documents)`: for a scorer that waits for a service (`AsyncScorer`). Default: `score` in a thread.
    - `with_instruction(instruction)`: this scorer with words that say what makes a document relevant, as another scorer
      that shares the model; its `identity` is another. Default: an instruction is refused.
    - `close()` and `aclose()`: give connections and files back. Default: there is nothing to give back.

    Optional attributes are those of `ScorerTraits`.

    One thread at a time enters a scorer that has no `ascore`. One with `ascore` must stand several threads.
    """

    @property
    def name(self) -> str:
        """Names the model in results and errors."""

    @property
    def scale(self) -> Scale:
        """What the numbers mean."""

    def score(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        """Return one finite number per document, in the documents' order; higher is better."""


@runtime_checkable
class ManyScorer(Protocol):
    """A scorer that serves several queries in one pass."""

    def score_many(self, requests: Sequence[Request]) -> Sequence[Sequence[float]]:
        """Return one sequence of scores per request, in their order."""


@runtime_checkable
class AsyncScorer(Protocol):
    """A scorer that can be awaited without a thread, such as a service client."""

    async def ascore(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        """As `Scorer.score`."""


@dataclass(frozen=True, slots=True)
class ScorerTraits:
    """What a scorer may say about itself in attributes of these names. Every one is optional; here are the defaults.

    >>> from resift.testing import OverlapScorer
    >>> ScorerTraits.of(OverlapScorer()).whole_lists
    False
    """

    identity: str | None = None
    """A text that changes with everything that changes scores. Scores can be kept (`Cached`) only with one."""
    long_documents: LongDocuments | None = None
    """What happens to a document longer than the model reads; None where there is no such choice."""
    max_length: int | None = None
    """Tokens that the model reads of query and document together, at most."""
    batch_tokens: int = 0
    """Tokens, padding included, in one batch of the network."""
    round_tokens: int = 0
    """Tokens that are scored before the next caller has a turn. Default: two batches, and 4,000 at least."""
    whole_lists: bool = False
    """Whether scores can be compared within one call only: a list is then never cut, by a deadline or into rounds."""
    awaitable: bool = False
    """Whether `ascore` is to be awaited. Default: whether there is one."""

    @classmethod
    def of(cls, scorer: Scorer) -> ScorerTraits:
        """Return what `scorer` says, with defaults for what it doesn't."""
        batch_tokens = getattr(scorer, "batch_tokens", None) or 0
        return cls(
            identity=getattr(scorer, "identity", None),
            long_documents=getattr(scorer, "long_documents", None),
            max_length=getattr(scorer, "max_length", None),
            batch_tokens=batch_tokens,
            round_tokens=getattr(scorer, "round_tokens", None) or 2 * batch_tokens,
            whole_lists=scorer.scale is Scale.ORDINAL or getattr(scorer, "whole_lists", False),
            awaitable=getattr(scorer, "awaitable", isinstance(scorer, AsyncScorer)),
        )
