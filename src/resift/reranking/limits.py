"""What a call asks of its ranking: how many documents, how relevant, how soon, and when to stop looking."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from resift._util.arguments import number, whole_number
from resift.errors import InputError
from resift.reranking.call import RankCall
from resift.scorer import Scorer, ScorerTraits
from resift.scoring.pending import EarlyStopping

LONGEST = threading.TIMEOUT_MAX  # seconds that a wait can last; a longer deadline, infinity too, is none


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one call, as `Reranker` takes them. Raises InputError for impossible ones."""

    top_k: int | None
    min_relevance: float | None
    deadline: float | None
    patience: int | None
    evidence: int = 0
    """How many sentences of each hit."""
    prune: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None:
            whole_number("top_k", self.top_k, 1, hint="None keeps every document")
        if self.patience is not None:
            whole_number("patience", self.patience, 1, hint="None scores every document", unit="document")
        wanted = int(self.evidence) if isinstance(self.evidence, bool) else self.evidence  # True is one sentence
        object.__setattr__(self, "evidence", whole_number("evidence", wanted, 0, hint="True is 1", unit="sentence"))
        for name in ("min_relevance", "deadline", "prune"):
            if (
                value := getattr(self, name)
            ) is not None:  # as Python's own number: NumPy's float32 is too coarse a clock
                object.__setattr__(self, name, number(name, value))
        for name in ("min_relevance", "prune"):
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1:
                raise InputError(f"{name} must lie between 0 and 1, got {value}")
        if self.deadline is not None and not self.deadline > 0:
            raise InputError(f"deadline must be more than 0 seconds, got {self.deadline}; None waits for every score")

    def check(self, scorer: Scorer) -> Limits:
        """Return these limits. Raises InputError where they make no sense for this scorer."""
        for name, way_out in (("min_relevance", "top_k"), ("prune", "evidence")):
            if (value := getattr(self, name)) is not None and not scorer.scale.has_relevance:
                raise InputError(
                    f"{name}={value} can't be used with {scorer.name}: its scores are on the "
                    f"{scorer.scale} scale, which says nothing between 0 and 1; use {way_out}"
                )
        if self.patience is not None and ScorerTraits.of(scorer).whole_lists:
            raise InputError(
                f"patience={self.patience} can't be used with {scorer.name}: it orders a list as a whole, "
                "and can't stop in the middle"
            )
        return self

    @property
    def of_sentences(self) -> bool:
        """Whether sentences are scored too."""
        return self.evidence > 0 or self.prune is not None

    @property
    def stopping(self) -> EarlyStopping | None:
        """The rule of early stopping; without a `top_k` every document is wanted."""
        return None if self.patience is None or self.top_k is None else EarlyStopping(self.patience, self.top_k)

    def seconds_left(self, call: RankCall[Any]) -> float | None:
        """Return the seconds until the call's deadline; None without one."""
        if self.deadline is None or self.deadline > LONGEST:
            return None
        return max(0.0, call.started + self.deadline - time.perf_counter())
