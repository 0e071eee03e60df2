"""Text vectors from a table with a vector per token, as the static bi-encoder and the tiny reranker compute them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift._util.model_files import report_unreadable
from resift.errors import ModelFileError
from resift.text.tokenizer import Ids, TextTokenizer

TABLE, SCALES = "table.npy", "scales.npy"
"""The files of a table."""


class TokenTable(NamedTuple):
    """A vector per token of a vocabulary, in 8 bits."""

    vectors: NDArray[np.int8]
    """(vocabulary, dimensions)."""
    scales: NDArray[np.float32]
    """(vocabulary,): what the rows of `vectors` are multiplied with."""
    unknown: int | None = None
    """The id of the token for what the vocabulary doesn't have; None where it has all."""

    @classmethod
    def load(cls, table: Path, scales: Path, tokenizer: TextTokenizer) -> TokenTable:
        """Load a table from its two files. Raise ModelFileError unless it has a row for every id of the tokenizer."""
        with report_unreadable(table, "table of token vectors"):
            # Mapped, not read: rows are loaded when they are needed, and processes share them.
            vectors = np.load(table, mmap_mode="r", allow_pickle=False)
            if vectors.ndim != 2 or vectors.dtype != np.int8:
                raise ValueError(f"{vectors.ndim} dimensions of {vectors.dtype}, expected 2 of int8")
        with report_unreadable(scales, "list of scales"):
            factors = np.load(scales, allow_pickle=False)
            if factors.ndim != 1 or factors.dtype != np.float32 or not np.isfinite(factors).all():
                raise ValueError(f"{factors.ndim} dimensions of {factors.dtype}, expected 1 of finite float32")
        if not tokenizer.highest_id < len(vectors) == len(factors):
            raise ModelFileError(
                f"{table} has {len(vectors)} rows, {scales.name} {len(factors)}, and the tokenizer "
                f"{tokenizer.highest_id + 1} tokens: they are not of one model; copy or export it again"
            )
        return cls(vectors, factors, tokenizer.unknown_id)

    def pool(self, texts: Sequence[Ids]) -> NDArray[np.float32]:
        """Return a unit vector per text, the sum of its tokens' vectors, (texts, dimensions).

        A text without a known token gives zeros: by the vector of the unknown token, any two of them would be alike.
        """
        vectors = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        lengths = np.array([len(ids) for ids in texts])
        filled = np.flatnonzero(lengths)
        if len(filled):
            ids = np.concatenate([ids for ids in texts if len(ids)])
            starts = np.concatenate([[0], np.cumsum(lengths[filled])[:-1]])
            sums = np.add.reduceat(self.vectors[ids] * self.scales[ids, None], starts)
            if self.unknown is not None:
                sums[~np.logical_or.reduceat(ids != self.unknown, starts)] = 0
            vectors[filled] = sums
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit
