"""What tokens contribute to a score, before they are joined to words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TokenContributions:
    """The parts of a network's score. All of them together are the score.

    Tokens are those that the network reads: the first and the last may be special ones, which stand for no word.
    """

    pairs: Mapping[str, Floats]
    """Part of the score → what each pair of tokens contributes to it, (query tokens, document tokens)."""
    query_alone: Floats
    """What each query token contributes whatever words the document has, (query tokens,)."""
    constant: float
    """What no words contribute: the number that the network adds to every score, and what the length counts."""

    @property
    def score(self) -> float:
        """The sum of everything."""
        return float(sum(part.sum() for part in self.pairs.values()) + self.query_alone.sum() + self.constant)


def put(shape: tuple[int, int], rows: NDArray[np.intp], columns: NDArray[np.intp], values: Floats) -> Floats:
    """Return a matrix with the values added at their places, and zeros elsewhere."""
    matrix = np.zeros(shape)
    np.add.at(matrix, (rows, columns), values)
    return matrix
