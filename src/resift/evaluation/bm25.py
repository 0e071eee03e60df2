"""BM25 by bm25s, as BEIR sets it: the first stage that knows words alone. Needs `resift[eval]`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resift.errors import MissingExtraError
from resift.evaluation.collection import Collection, Run

try:
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
