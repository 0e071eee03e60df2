"""Text vectors from a table with a vector per token, as the static bi-encoder and the tiny reranker compute them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resift.text.tokenizer import Ids


def pool_vectors(table: NDArray[np.int8], scales: NDArray[np.float32], texts: Sequence[Ids]) -> NDArray[np.float32]:
    """Return a unit vector per text, the sum of its tokens' vectors, (texts, dimensions); zeros for an empty text.

    `table` is (vocabulary, dimensions), and `scales`, (vocabulary,), are what its rows are multiplied with.
    """
    vectors = np.zeros((len(texts), table.shape[1]), np.float32)
    lengths = np.array([len(ids) for ids in texts])
    filled = np.flatnonzero(lengths)
    if len(filled):
        ids = np.concatenate([ids for ids in texts if len(ids)])
        starts = np.concatenate([[0], np.cumsum(lengths[filled])[:-1]])
        vectors[filled] = np.add.reduceat(table[ids] * scales[ids, None], starts)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
