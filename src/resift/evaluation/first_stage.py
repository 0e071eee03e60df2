"""First stages to rerank, by name: BM25, a bi-encoder, a Chroma collection, a given run, or several of them fused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from resift.embedders.dense import DenseEmbedder
from resift.embedders.static import StaticEmbedder
from resift.errors import InputError
from resift.evaluation.collection import Collection, Run, check_run, read_run
from resift.evaluation.fusion import fuse
from resift.evaluation.nearest import chroma_run, embedding_run, sentence_transformer_run

JUDGED = "judged"
FUSED_DEPTH = 1000  # of each list that is fused: a document counts with both its ranks, however deep one of them is

Stage = str | Run
"""A first stage: a name that `first_stage` takes, or a run, which is what it returns."""


def first_stage(name: str, collection: Collection, depth: int) -> Run:
    """Return the best `depth` documents of every query.

    Args:
        name: "bm25", "static" or "dense" (the bundled bi-encoders), "chroma:FOLDER#collection", "st:FOLDER" (a
            sentence-transformers bi-encoder), or a run file; "bm25+static" and the like fuse several by reciprocal
            rank. "judged" gives the judged documents, in no order.
        collection: The documents and queries.
        depth: How many documents per query.

    Returns:
        query id → document ids, best first.

    Raises:
        InputError: There is no first stage of that name, or it does not fit the collection.
    """
    parts = _parts(name)
    stages = [_stage(part) for part in parts]  # all of them, before the first is run
    if len(parts) == 1:
        return stages[0](collection, depth)
    if JUDGED in parts:
        raise InputError(f"{name}: the judged documents have no order that could be fused with another")
    fused = fuse([stage(collection, max(depth, FUSED_DEPTH)) for stage in stages])
    return {query: listed[:depth] for query, listed in fused.items()}


def candidates(stage: Stage, collection: Collection, depth: int, limit: int | None = None) -> Run:
    """Return the first stage's lists for the first `limit` queries that have candidates (None: for all of them)."""
    if isinstance(stage, str):
        run = first_stage(stage, collection, depth)
    else:
        run = {query: listed[:depth] for query, listed in check_run(stage, collection, stage_name(stage)).items()}
    queries = [query for query in collection.queries if run.get(query)][:limit]
    if not queries:
        raise InputError(f"{stage_name(stage)} finds no candidates in {collection.name}")
    return {query: run[query] for query in queries}


def stage_name(stage: Stage) -> str:
    """Return what a report calls a first stage: its name, without the folders of paths.

    >>> stage_name("bm25+chroma:data/db#notes"), stage_name("runs/BM25.trec"), stage_name({"q": ["a"]})
    ('bm25+chroma:db#notes', 'BM25.trec', 'given run')
    """
    if not isinstance(stage, str):
        return "given run"
    return "+".join(_short(part) for part in _parts(stage))


def _short(name: str) -> str:
    scheme, colon, path = name.partition(":")
    return f"{scheme}:{Path(path).name}" if colon and scheme in SCHEMES else Path(name).name


def _parts(name: str) -> list[str]:
    """Return the names that `+` joins; a path that exists and has a `+` in it is a single name."""
    scheme, _, path = name.partition(":")
    if Path(name).is_file() or (scheme in SCHEMES and Path(path.partition("#")[0]).exists()):
        return [name]
    return name.split("+")


def _stage(name: str) -> Callable[[Collection, int], Run]:
    if name in NAMES:
        return NAMES[name]
    scheme, colon, path = name.partition(":")
    if colon and scheme in SCHEMES:
        return partial(SCHEMES[scheme], path)
    if Path(name).is_file():
        return partial(_run_file, Path(name))
    raise InputError(
        f"first stage {name!r} is no file (a TREC run or jsonl) and none of {', '.join(NAMES)}, "
        f"{', '.join(f'{scheme}:FOLDER' for scheme in SCHEMES)}"
    )


def _bm25(collection: Collection, depth: int) -> Run:
    from resift.evaluation.bm25 import bm25_run  # here: only this first stage needs bm25s

    return bm25_run(collection, depth)


def _static(collection: Collection, depth: int) -> Run:
    return embedding_run(StaticEmbedder().embed, collection, depth)


def _dense(collection: Collection, depth: int) -> Run:
    return embedding_run(DenseEmbedder().embed, collection, depth)


def _judged(collection: Collection, _: int) -> Run:
    return collection.judged()


def _run_file(path: Path, collection: Collection, depth: int) -> Run:
    return {query: listed[:depth] for query, listed in read_run(path, collection).items()}


NAMES: dict[str, Callable[[Collection, int], Run]] = {
    "bm25": _bm25,
    "static": _static,
    "dense": _dense,
    JUDGED: _judged,
}
SCHEMES: dict[str, Callable[[str, Collection, int], Run]] = {"chroma": chroma_run, "st": sentence_transformer_run}
