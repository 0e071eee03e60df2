"""One vector per token, looked up in a table and summed: what the static bi-encoder and the tiny reranker share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resift.text.tokenizer import Ids


def pool_vectors(table: NDArray[np.int8], scales: NDArray[np.float32], texts: Sequence[Ids]) -> NDArray[np.float32]:
    """A unit vector for each text's tokens, (texts, dimensions); zeros where there are none."""
    vectors = np.zeros((len(texts), table.shape[1]), np.float32)
    lengths = np.array([len(ids) for ids in texts])
    filled = np.flatnonzero(lengths)
    if len(filled):
        ids = np.concatenate([one for one in texts if len(one)])
        first = np.concatenate([[0], np.cumsum(lengths[filled])[:-1]])
        vectors[filled] = np.add.reduceat(table[ids] * scales[ids, None], first)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
