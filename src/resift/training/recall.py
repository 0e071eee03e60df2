"""What a first stage finds: Recall@100 on a judged collection, alone and fused with BM25."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from resift.evaluation import Collection, embedding_run, measure
from resift.evaluation.first_stage import first_stage
from resift.evaluation.fusion import fuse
from resift.evaluation.nearest import Embed

METRIC = "R@100"
DEPTH = 1000  # of each list that is fused: a document that both lists hold counts, even deep in one of them


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean Recall@100 over the queries of a collection, 0 to 1.

    Args:
        alone: Of the bi-encoder.
        fused: Of the bi-encoder and BM25, fused by reciprocal rank.
        bm25: Of BM25 alone.

    """

    alone: float
    fused: float
    bm25: float


def recall(collection: Collection, embed: Embed) -> Recall:
    """Measure what this bi-encoder finds, what BM25 finds, and what both find together."""
    words = first_stage("bm25", collection, DEPTH)
    meaning = embedding_run(embed, collection, DEPTH)
    runs = (meaning, fuse([meaning, words]), words)
    return Recall(*(_mean(measure(collection.qrels, run, (METRIC,))[METRIC]) for run in runs))


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values())))
