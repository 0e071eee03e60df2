"""BM25 by bm25s, as BEIR sets it: the first stage that knows words alone. Needs `resift[eval]`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from resift.errors import MissingExtraError
from resift.evaluation.collection import Collection, Run

_RESERVE = "XLA_PYTHON_CLIENT_PREALLOCATE"


@contextmanager
def _unreserved() -> Iterator[None]:
    """Where JAX is installed, bm25s tries it on import, and JAX would take three quarters of a GPU's memory for it."""
    if _RESERVE in os.environ:
        yield
        return
    os.environ[_RESERVE] = "false"
    try:
        yield
    finally:
        del os.environ[_RESERVE]


try:
    with _unreserved():
        import bm25s
except ImportError as error:
    raise MissingExtraError("BM25", "eval") from error

K1, B = 0.9, 0.4  # Anserini's, and so BEIR's


def bm25_index(texts: Sequence[str]) -> bm25s.BM25:
    """An index of the texts, by place."""
    index = bm25s.BM25(k1=K1, b=B)
    index.index(bm25s.tokenize(list(texts), show_progress=False), show_progress=False)
    return index


def bm25_run(collection: Collection, depth: int) -> Run:
    """The best `depth` documents of every query, equals in the collection's order."""
    ids = list(collection.documents)
    index = bm25_index(list(collection.documents.values()))
    asked = bm25s.tokenize(list(collection.queries.values()), return_ids=False, show_progress=False)
    found: dict[str, list[str]] = {}
    for query, words in zip(collection.queries, asked, strict=True):
        known = [word for word in words if word in index.vocab_dict]
        # Not `retrieve`: which of several equal documents it takes depends on how many are asked for.
        scores = index.get_scores(known) if known else np.zeros(len(ids))
        # A document without a word of the query is no candidate: BM25 would only be filling up.
        found[query] = [ids[place] for place in np.argsort(-scores, kind="stable")[:depth] if scores[place] > 0]
    return found


def bm25_places(texts: Sequence[str], queries: Sequence[str], depth: int) -> NDArray[np.int64]:
    """The places of the best `depth` texts (or all) of every query, (queries, depth): quickly, equals in any order."""
    asked = bm25s.tokenize(list(queries), show_progress=False)
    # Not by JAX where that is installed: it takes others of equal texts, and the same seed is to mine the same.
    places, _ = bm25_index(texts).retrieve(
        asked, k=min(depth, len(texts)), show_progress=False, backend_selection="numpy"
    )
    found: NDArray[np.int64] = np.asarray(places, np.int64)
    return found
