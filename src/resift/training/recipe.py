"""All settings of a run: what a reranker, or a first stage, is trained from and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resift.errors import InputError

Network = Literal["split", "cls"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings of training a reranker. The same recipe, data and machine give the same model.

    Args:
        base: What to start from: an exported split network (`resift:small`, or a folder that training wrote), or a
            Hugging Face folder or id (for `split` a bi-encoder).
        network: `split`: query and document are encoded apart, and a reader compares them; `cls`: the plain
            cross-encoder.
        separate: Layers whose token states the reader reads (`split`).
        frozen: Whether the bi-encoder stays as it is (`split`): only the reader on top learns, which is many times
            as fast.
        max_length: Tokens of a text (`split`) or of a pair (`cls`) in training. In use the model may read more.
        negatives: Wrong answers mined for each pair.
        keywords: Share of the queries that are cut down to keywords, 0 to 1.
        hard: Share of the target that the known positive gets, 0 to 1; the teachers' scores get the rest.
        epochs: Times through the data.
        queries: Lists per step.
        learning_rate: At its highest.
        blend: The trained weights' share in the result, above 0 and at most 1; the rest is the start's. Less than 1
            keeps more of what the start knew (Wortsman et al. 2022, arXiv 2109.01903).
        held_out: Lists kept back to see how training goes and to calibrate on.
        seed: Of everything random.

    Raises:
        InputError: A setting is out of its range.

    """

    base: str = "resift:small"
    network: Network = "split"
    separate: int = 4
    frozen: bool = True
    max_length: int = 128
    negatives: int = 7
    keywords: float = 0.2
    hard: float = 0.5
    epochs: float = 1.0
    queries: int = 16
    learning_rate: float = 5e-5
    blend: float = 1.0
    held_out: int = 200
    seed: int = 7

    def __post_init__(self) -> None:
        if not 0 <= self.hard <= 1 or not 0 <= self.keywords <= 1:
            raise InputError(f"hard and keywords are shares, 0 to 1; got {self.hard} and {self.keywords}")
        if not 0 < self.blend <= 1:
            raise InputError(f"blend is the trained weights' share, above 0 and at most 1; got {self.blend}")
        _check_counts({"negatives": self.negatives, "queries": self.queries, "max_length": self.max_length})
        if self.epochs <= 0 or self.learning_rate <= 0:
            raise InputError(f"epochs and learning_rate must be above 0, got {self.epochs} and {self.learning_rate}")


@dataclass(frozen=True, slots=True)
class Distillation:
    """All settings of distilling a first stage. The same settings, data and machine give the same model.

    Args:
        base: `static` (the bundled table), a table's folder, or the folder of a sentence-transformers bi-encoder.
        steps: Of training.
        batch: Pairs of a step; None for what suits the base.
        learning_rate: At its highest; None for what suits the base.
        per_passage: Queries of one passage that are learned, at most.
        runs: Runs from the same start with seeds that follow, so with another order and other texts for the
            teachers. Their weights are averaged: what one run learned by chance is taken out (Wortsman et al. 2022,
            arXiv 2203.05482).
        seed: Of everything random.
        lists: Queries whose candidates the teachers score.
        negatives: Wrong answers mined for each of these queries.
        vectors: Texts that the bi-encoder among the teachers embeds.

    Raises:
        InputError: A setting is out of its range.

    """

    base: str = "static"
    steps: int = 300
    batch: int | None = None
    learning_rate: float | None = None
    per_passage: int = 2
    runs: int = 1
    seed: int = 7
    lists: int = 2000
    negatives: int = 7
    vectors: int = 20_000

    def __post_init__(self) -> None:
        counts = {
            "steps": self.steps,
            "batch": 2 if self.batch is None else self.batch,
            "per_passage": self.per_passage,
            "runs": self.runs,
            "lists": self.lists,
            "negatives": self.negatives,
            "vectors": self.vectors,
        }
        _check_counts(counts, at_least_two=("batch", "vectors"))  # a batch of one has no wrong answer to learn from
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate}")


def _check_counts(counts: dict[str, int], at_least_two: tuple[str, ...] = ()) -> None:
    """Raise InputError for a count below 1, or below 2 where that is the least."""
    for name, value in counts.items():
        minimum = 2 if name in at_least_two else 1
        if value < minimum:
            raise InputError(f"{name} must be at least {minimum}, got {value}")
