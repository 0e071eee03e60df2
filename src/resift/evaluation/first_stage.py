"""First stages to rerank, by name: BM25, a bi-encoder, a Chroma collection, a given run, or several of them fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resift.embedders.dense import DenseEmbedder
from resift.embedders.static import StaticEmbedder
from resift.errors import InputError
from resift.evaluation.collection import LEFT_OUT, Collection, Run
from resift.evaluation.fusion import fuse
from resift.evaluation.nearest import chroma_run, embedding_run, sentence_transformer_run
from resift.evaluation.notes import counted, tell
from resift.evaluation.runs import check_run, read_run

JUDGED = "judged"
FUSED_DEPTH = 1000  # of each list that is fused: a document counts with both its ranks, however deep one of them is

Stage = str | Run
"""A first stage: a name that `first_stage` takes, or a run, which is what it returns."""


class NamedRun(dict[str, Sequence[str]]):
    """A run that reports call by its name."""

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(run)
        self.name = name


def first_stage(name: str, collection: Collection, depth: int) -> Run:
    """Return the best `depth` documents of every query.

    Args:
        name: "bm25"; "static", "dense" or "multilingual" (the bundled bi-encoders); "chroma:FOLDER#collection",
            "st:FOLDER" (a sentence-transformers bi-encoder), or a run file; "bm25+static" and the like fuse several by
            reciprocal rank. "judged" gives the judged documents, in no order.
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


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a first stage found, for the queries that are measured."""

    run: Run
    notes: Sequence[str]
    """What was left out."""


def candidates(
    stage: Stage, collection: Collection, depth: int, limit: int | None = None, *, ignore_identical_ids: bool = True
) -> Run:
    """Return the lists of `find_candidates` alone."""
    return find_candidates(stage, collection, depth, limit, ignore_identical_ids=ignore_identical_ids).run


def find_candidates(
    stage: Stage, collection: Collection, depth: int, limit: int | None = None, *, ignore_identical_ids: bool = True
) -> Candidates:
    """Return the first stage's lists, of those of the first `limit` queries that have candidates.

    Args:
        stage: A name that `first_stage` takes, or a run.
        collection: The documents and queries.
        depth: How many candidates per query.
        limit: How many queries; None: all.
        ignore_identical_ids: Leave out the document that has the query's own id, as BEIR does: where queries are
            documents, as in ArguAna and Quora, it is the query itself. One that is judged relevant stays: there, ids
            are the same by chance.

    Returns:
        The lists, and what was left out, of which a line of the log tells.

    Raises:
        InputError: There is no such first stage, or it finds nothing.
    """
    own = set()
    if ignore_identical_ids:
        own = {
            query
            for query in collection.queries
            if query in collection.documents and collection.qrels[query].get(query, 0) <= 0
        }
    name = stage_name(stage)
    wanted = depth + bool(own)
    run = first_stage(stage, collection, wanted) if isinstance(stage, str) else check_run(stage, collection, name)
    notes = []
    if found := [query for query in collection.queries if query in own and query in run.get(query, ())[:wanted]]:
        what, then = "queries have a candidate with the query's own id", "which is left out, as in BEIR"
        notes.append(counted(found, what, then, of=len(collection.queries)))
    lists = {
        query: [id for id in run.get(query, ()) if id != query or query not in own][:depth]
        for query in collection.queries
    }
    if empty := [query for query, listed in lists.items() if not listed]:
        notes.append(counted(empty, "queries have no candidates", LEFT_OUT, of=len(lists)))
    queries = [query for query, listed in lists.items() if listed][:limit]
    if not queries:
        raise InputError(f"{name} finds no candidates in {collection.name}")
    tell(f"{collection.name}, {name}", notes)
    return Candidates({query: lists[query] for query in queries}, notes)


def stage_name(stage: Stage) -> str:
    """Return what a report calls a first stage: its name, without the folders of paths.

    >>> stage_name("bm25+chroma:data/db#notes"), stage_name("runs/BM25.trec"), stage_name({"q": ["a"]})
    ('bm25+chroma:db#notes', 'BM25.trec', 'given run')
    """
    if not isinstance(stage, str):
        return stage.name if isinstance(stage, NamedRun) else "given run"
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


def _multilingual(collection: Collection, depth: int) -> Run:
    return embedding_run(DenseEmbedder("resift:multilingual").embed, collection, depth)


def _judged(collection: Collection, _: int) -> Run:
    return collection.judged()


def _run_file(path: Path, collection: Collection, depth: int) -> Run:
    return {query: listed[:depth] for query, listed in read_run(path, collection).items()}


NAMES: dict[str, Callable[[Collection, int], Run]] = {
    "bm25": _bm25,
    "static": _static,
    "dense": _dense,
    "multilingual": _multilingual,
    JUDGED: _judged,
}
SCHEMES: dict[str, Callable[[str, Collection, int], Run]] = {"chroma": chroma_run, "st": sentence_transformer_run}
