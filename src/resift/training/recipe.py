"""All settings of a run: what a reranker, or a first stage, is trained from and how."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal, NamedTuple, get_args

from resift._util.arguments import number, whole_number
from resift.errors import InputError

Network = Literal["split", "cls"]
MOST_SEED = 2**32 - 1  # that numpy takes

SMALL, LARGE = 2_000, 20_000  # queries: below and above them a step takes fewer lists, or more
STEPS = 150  # that a run has at least, where few pairs are gone through several times
MOST_EPOCHS = 8  # by default: from then on the same lists teach little but themselves
MOST_HELD_OUT = 200  # by default: more make the figures hardly surer
FEW_BLEND, BLEND = 0.5, 0.75  # of a network that could rank before: below and above `SMALL`
READER_RATE, WHOLE_RATE = 3e-4, 5e-5  # for a reader on a frozen bi-encoder, and for a network that learns as a whole


class Sizes(NamedTuple):
    """Settings that depend on how many queries there are."""

    held_out: int
    """Queries kept back."""
    batch: int
    """Lists of a step."""
    epochs: float
    learning_rate: float
    blend: float


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
        epochs: Times through the data; None for as many as give 150 steps, between 1 and 8.
        batch: Lists of a step; None for 8 with fewer than 2,000 queries, 32 from 20,000 on, and 16 between.
        learning_rate: At its highest; None for 3e-4 where only the reader learns, else 5e-5.
        blend: The trained weights' share in the result, above 0 and at most 1; the rest is the start's. Less than 1
            keeps more of what the start knew (Wortsman et al. 2022, arXiv 2109.01903). None for 0.5 with fewer than
            2,000 queries and 0.75 from then on (`split`), or 1 (`cls`, whose scoring part starts untrained).
        length: How much the length of a document counts (`split`), 3 for a short question as in the bundled model; less
            for longer ones. None for what the base has. Labels that name one answer teach nothing of it.
        brevity: How much more the best match of each word counts in a query of two tokens (`split`), 2 as in the
            bundled model; half of it with three. None for what the base has. Whole questions teach nothing of it.
        held_out: Queries kept back to see how training goes and to calibrate on; None for a fifth, at most 200.
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
    epochs: float | None = None
    batch: int | None = None
    learning_rate: float | None = None
    blend: float | None = None
    length: float | None = None
    brevity: float | None = None
    held_out: int | None = None
    seed: int = 7

    def __post_init__(self) -> None:
        if self.network not in get_args(Network):
            raise InputError(f"network must be one of {', '.join(get_args(Network))}, got {self.network!r}")
        for name, share in (("hard", self.hard), ("keywords", self.keywords)):
            if not 0 <= number(name, share) <= 1:
                raise InputError(f"{name} is a share, 0 to 1; got {share}")
        if self.blend is not None and not 0 < number("blend", self.blend) <= 1:
            raise InputError(f"blend is the trained weights' share, above 0 and at most 1; got {self.blend}")
        batch = 1 if self.batch is None else self.batch
        counts = {"negatives": self.negatives, "batch": batch, "max_length": self.max_length, "separate": self.separate}
        _check_counts(counts)
        if self.held_out is not None:
            whole_number("held_out", self.held_out, 0)
        _check_seed(self.seed)
        _check_above_zero({"epochs": self.epochs, "learning_rate": self.learning_rate})
        for name, weight in (("length", self.length), ("brevity", self.brevity)):
            if weight is not None and not isfinite(number(name, weight)):
                raise InputError(f"{name} must be a finite number, got {weight}")

    def sizes(self, queries: int) -> Sizes:
        """Return the settings for a run with so many different queries: those given, and what suits for the others.

        >>> Recipe().sizes(300)
        Sizes(held_out=60, batch=8, epochs=5.0, learning_rate=0.0003, blend=0.5)
        >>> Recipe(epochs=2).sizes(30_000)
        Sizes(held_out=200, batch=32, epochs=2, learning_rate=0.0003, blend=0.75)
        """
        held_out = min(queries // 5, MOST_HELD_OUT) if self.held_out is None else self.held_out
        learned = max(1, queries - held_out)
        batch = self.batch
        if batch is None:
            batch = min(learned, 8 if queries < SMALL else 16 if queries < LARGE else 32)
        epochs = min(max(1.0, STEPS * batch / learned), MOST_EPOCHS) if self.epochs is None else self.epochs
        rate = self.learning_rate
        if rate is None:
            rate = READER_RATE if self.network == "split" and self.frozen else WHOLE_RATE
        blend = self.blend
        if blend is None:
            blend = 1.0 if self.network == "cls" else FEW_BLEND if queries < SMALL else BLEND
        return Sizes(held_out, batch, epochs, rate, blend)


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
        _check_seed(self.seed)
        _check_above_zero({"learning_rate": self.learning_rate})


def _check_counts(counts: dict[str, int], at_least_two: tuple[str, ...] = ()) -> None:
    """Raise InputError for a count below 1, or below 2 where that is the least."""
    for name, value in counts.items():
        whole_number(name, value, 2 if name in at_least_two else 1)


def _check_seed(seed: int) -> None:
    if whole_number("seed", seed, 0) > MOST_SEED:
        raise InputError(f"seed must be at most {MOST_SEED}, got {seed}")


def _check_above_zero(numbers: dict[str, float | None]) -> None:
    """Raise InputError for what is no finite number above 0. None stands for a default."""
    for name, value in numbers.items():
        if value is not None and not 0 < number(name, value) < inf:
            raise InputError(f"{name} must be a number above 0, got {value}")
