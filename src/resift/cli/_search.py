"""Two-stage search over an indexed collection, from the options of the commands that search: one builder for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resift.cli._options import EmbedderName
from resift.cli._output import note
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.reranking.reranker import Reranker
    from resift.search.chroma import ChromaFirstStage
    from resift.search.hybrid import HybridFirstStage
    from resift.search.two_stage import TwoStageSearch

Hybrid = Annotated[
    bool | None,
    typer.Option(
        "--hybrid/--no-hybrid",
        help="Find candidates by words too (BM25), and fuse both lists by rank; or by vectors alone.",
        show_default="hybrid",
    ),
]
Embedder = Annotated[
    EmbedderName | None,
    typer.Option(
        "--embedder",
        help="What embedded a collection that keeps no embedding function.",
        show_default="the collection's own",
    ),
]


def two_stages(
    db: Path,
    collection: str,
    reranker: Reranker,
    *,
    candidates: int,
    hybrid: bool | None = None,
    embedder: EmbedderName | None = None,
    where: dict[str, Any] | None = None,
) -> TwoStageSearch:
    """Return the search of `--db`, `--collection`, `--hybrid` and `--embedder`. Raises as `first_stage` does."""
    from resift.search.two_stage import TwoStageSearch

    stage = first_stage(db, collection, hybrid=hybrid, embedder=embedder, where=where)
    return TwoStageSearch(stage, reranker, candidates=candidates)


def first_stage(
    db: Path,
    collection: str,
    *,
    hybrid: bool | None = None,
    embedder: EmbedderName | None = None,
    where: dict[str, Any] | None = None,
) -> ChromaFirstStage | HybridFirstStage:
    """Return the first stage over a collection.

    Args:
        db: The folder of the database.
        collection: The collection.
        hybrid: Whether words are searched too. None: they are, if what that needs is installed.
        embedder: What embedded a collection that keeps no embedding function. None: the collection's own.
        where: Chroma's filter of metadata.

    Raises:
        InputError: There is no such collection, or it isn't known what embedded it.
        MissingExtraError: tantivy is not installed, and `hybrid` is True.
    """
    from resift.cli import _database
    from resift.search.chroma import ChromaFirstStage
    from resift.search.hybrid import HybridFirstStage

    opened = _database.existing(db, collection, embedder and embedder.value)
    with embedding_advice():
        dense = ChromaFirstStage(opened, where=where)
    if hybrid is None and find_spec("tantivy") is None:
        note("words are not searched, only vectors: pip install -U 'resift[chroma]', or say --no-hybrid")
        hybrid = False
    return dense if hybrid is False else HybridFirstStage(dense)


def own_model(db: Path, collection: str) -> str:
    """Return the reranker that goes with a collection: for one in many languages theirs, else the default one.

    Raises InputError where there is no such collection.
    """
    from resift.cli import _database
    from resift.search.chroma import network_of

    return f"resift:{network_of(_database.existing(db, collection))}"


@contextmanager
def embedding_advice() -> Iterator[None]:
    """Say in words of the command line what to do where it isn't known what embedded a collection."""
    import resift.search.chroma  # noqa: F401 - first: it names the extra where Chroma is missing
    from resift.search.query_embedding import UnknownEmbeddingError

    try:
        yield
    except UnknownEmbeddingError as error:
        raise InputError(
            f"{error.reason}; if a bundled bi-encoder did, say --embedder static, dense or multilingual; else search "
            "it from Python, with ChromaFirstStage(collection, embed=function)"
        ) from error
