"""What a training run is made of, and what it should come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resift.errors import InputError
from resift.training.mining import CandidateList
from resift.training.teachers import TeacherScores

Network = Literal["split", "cls"]
LEAST = 1e-4  # share of the target that even the worst document gets: its logarithm must be finite


@dataclass(frozen=True, slots=True)
class Recipe:
    """All settings of a run. The same recipe, data and machine give the same model."""

    base: str = "resift:small"
    """What to start from: an exported split network, or a Hugging Face folder or id (a bi-encoder for `split`)."""
    network: Network = "split"
    separate: int = 4
    """Layers whose token states the reader reads (`split`)."""
    frozen: bool = True
    """Whether the bi-encoder stays as it is (`split`): only the reader on top learns, which is many times as fast."""
    max_length: int = 128
    """Tokens of a text (`split`) or of a pair (`cls`) in training. In use the model may read more."""
    negatives: int = 7
    keywords: float = 0.2
    """Share of the queries cut down to keywords."""
    hard: float = 0.5
    """Share of the target that goes to the known positive; the teachers' opinion gets the rest."""
    epochs: float = 1.0
    queries: int = 16
    """Lists per step."""
    learning_rate: float = 5e-5
    blend: float = 1.0
    """The trained weights' share in the result; the rest is the start's. Less than 1 keeps more of what the start knew
    (Wortsman et al. 2022, arXiv 2109.01903)."""
    held_out: int = 200
    """Lists kept back to see how training goes and to calibrate on."""
    seed: int = 7

    def __post_init__(self) -> None:
        if not 0 <= self.hard <= 1 or not 0 <= self.keywords <= 1:
            raise InputError(f"hard and keywords are shares, 0 to 1; got {self.hard} and {self.keywords}")
        if not 0 < self.blend <= 1:
            raise InputError(f"blend is the trained weights' share, above 0 and at most 1; got {self.blend}")
        counts = {"negatives": self.negatives, "queries": self.queries, "max_length": self.max_length}
        for name, value in counts.items():
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        if self.epochs <= 0 or self.learning_rate <= 0:
            raise InputError(f"epochs and learning_rate must be above 0, got {self.epochs} and {self.learning_rate}")


def targets(lists: Sequence[CandidateList], scores: TeacherScores | None, hard: float) -> list[list[float]]:
    """Log-probabilities of being the best document of its list: ListNet's softmax makes the target of them again.

    A share `hard` lies on the positives; the rest on what the teachers' logits say, softmaxed. Without teachers
    the positives get all.
    """
    share = hard if scores is not None else 1.0
    found = []
    for place, one in enumerate(lists):
        wanted = np.zeros(len(one.documents))
        wanted[: one.positives] = share / one.positives
        if scores is not None:
            logits = np.array(scores[place])
            opinion = np.exp(logits - logits.max())
            wanted += (1 - share) * opinion / opinion.sum()
        wanted = np.maximum(wanted, LEAST)
        found.append(np.log(wanted / wanted.sum()).tolist())
    return found
