"""First stages to rerank: BM25, the bundled bi-encoder, a given run, or the judged documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resift.errors import InputError, MissingExtraError
from resift.evaluation.collection import Collection, Run, read_run
from resift.static import StaticEmbedder

K1, B = 0.9, 0.4  # BEIR's setting (Anserini)
NAMES = ("bm25", "static", "judged")


def first_stage(name: str, collection: Collection, depth: int) -> Run:
    """The best `depth` documents of every query: by "bm25", by "static" (the bundled bi-encoder), the "judged" ones
    (in no order), or from a run file. Raises InputError for any other name.
    """
    if name == "bm25":
        return _bm25(collection, depth)
    if name == "static":
        return _static(collection, depth)
    if name == "judged":
        return collection.judged()
    if Path(name).is_file():
        return {query: listed[:depth] for query, listed in read_run(Path(name), collection).items()}
    raise InputError(f"first stage {name!r} is no file (a TREC run or jsonl) and none of {', '.join(NAMES)}")


def _bm25(collection: Collection, depth: int) -> Run:
    try:
        import bm25s  # here: only this first stage needs it
    except ImportError as error:
        raise MissingExtraError("BM25", "eval") from error
    ids = list(collection.documents)
    index = bm25s.BM25(k1=K1, b=B)
    index.index(bm25s.tokenize(list(collection.documents.values()), show_progress=False), show_progress=False)
    queries = bm25s.tokenize(list(collection.queries.values()), show_progress=False)
    places, scores = index.retrieve(queries, k=min(depth, len(ids)), show_progress=False)
    return {
        # A document without a word of the query is no candidate: BM25 would only be filling up.
        query: [ids[place] for place, score in zip(row, values, strict=True) if score > 0]
        for query, row, values in zip(collection.queries, places, scores, strict=True)
    }


def _static(collection: Collection, depth: int) -> Run:
    embedder = StaticEmbedder()
    ids = list(collection.documents)
    vectors = embedder.embed(list(collection.documents.values()))
    queries = embedder.embed(list(collection.queries.values()))
    return {
        query: [ids[place] for place in np.argsort(-(vectors @ vector), kind="stable")[:depth]]
        for query, vector in zip(collection.queries, queries, strict=True)
    }
