"""The protocol of a bi-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """A bi-encoder: texts become vectors that can be compared with each other, queries and documents alike."""

    @property
    def name(self) -> str:
        """Names the model."""

    @property
    def fingerprint(self) -> str:
        """A text that differs between versions of the model: vectors of two versions can't be compared."""

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, (texts, dimensions), in their order."""
