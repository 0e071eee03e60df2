"""What a bi-encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Texts to vectors that can be compared with each other; queries and documents alike."""

    @property
    def name(self) -> str:
        """Names the model."""

    @property
    def fingerprint(self) -> str:
        """Tells versions of it apart: vectors of two can't be compared."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit vector per text, (texts, dimensions), in their order."""
