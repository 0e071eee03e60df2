"""BM25 by bm25s, with BEIR's settings: a first stage that compares words alone. Needs `resift[eval]`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from resift.errors import MissingExtraError
from resift.evaluation.collection import Collection, Run
from resift.text.normal import normalise_all

_JAX_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


@contextmanager
def _without_jax_memory() -> Iterator[None]:
    """Keep JAX from reserving memory: bm25s tries JAX on import, which would take three quarters of a GPU's memory."""
    if _JAX_PREALLOCATE in os.environ:
        yield
        return
    os.environ[_JAX_PREALLOCATE] = "false"
    try:
        yield
    finally:
        del os.environ[_JAX_PREALLOCATE]


try:
    with _without_jax_memory():
        import bm25s
except ImportError as error:
    raise MissingExtraError("BM25", "eval") from error

K1, B = 0.9, 0.4  # Anserini's, and so BEIR's


def bm25_index(texts: Sequence[str]) -> bm25s.BM25:
    """Return a BM25 index of the texts, which knows them by their indices."""
    index = bm25s.BM25(k1=K1, b=B)
    index.index(bm25s.tokenize(normalise_all(texts), show_progress=False), show_progress=False)
    return index


def bm25_run(collection: Collection, depth: int) -> Run:
    """Return the best `depth` documents of every query; equal scores keep the collection's order."""
    ids = list(collection.documents)
    index = bm25_index(list(collection.documents.values()))
    queries = bm25s.tokenize(normalise_all(collection.queries.values()), return_ids=False, show_progress=False)
    run: dict[str, list[str]] = {}
    for query, words in zip(collection.queries, queries, strict=True):
        known = [word for word in words if word in index.vocab_dict]
        # Not `retrieve`: which of several equal documents it takes depends on how many are wanted.
        scores = index.get_scores(known) if known else np.zeros(len(ids))
        best = np.argsort(-scores, kind="stable")[:depth]
        # A document without a word of the query is no candidate: BM25 would only be filling up.
        run[query] = [ids[document] for document in best if scores[document] > 0]
    return run


def bm25_indices(texts: Sequence[str], queries: Sequence[str], depth: int) -> NDArray[np.int64]:
    """Return the indices of the best `depth` texts (or all) of every query, (queries, depth).

    Faster than `bm25_run`; equal scores come in any order.
    """
    words = bm25s.tokenize(normalise_all(queries), show_progress=False)
    # Not by JAX where that is installed: it takes others of equal texts, and the same seed is to mine the same.
    best, _ = bm25_index(texts).retrieve(
        words, k=min(depth, len(texts)), show_progress=False, backend_selection="numpy"
    )
    indices: NDArray[np.int64] = np.asarray(best, np.int64)
    return indices
