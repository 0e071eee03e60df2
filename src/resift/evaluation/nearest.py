"""First stages by vectors: any embedding function or `FirstStage`, a Chroma collection, a bi-encoder's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resift._util.arguments import is_blank
from resift.errors import InputError, MissingExtraError, ModelFileError
from resift.evaluation.collection import Collection, Run
from resift.evaluation.runs import check_run
from resift.search.candidates import Passage, as_passages, check_first_stage, found_by
from resift.search.two_stage import FirstStage, ManyFirstStage
from resift.text.half_pairs import replace_half_pairs
from resift.text.normal import normalise_all

Embed = Callable[[list[str]], ArrayLike]
"""Texts → vectors, a row each: a Chroma EmbeddingFunction, SentenceTransformer.encode, a function of yours."""

TEXTS_PER_BLOCK = 256  # texts embedded, or queries compared with all documents, at once


def embedding_run(embed: Embed, collection: Collection, depth: int, *, embed_queries: Embed | None = None) -> Run:
    """Return the nearest `depth` documents of every query, by cosine; equally near ones keep the collection's order.

    Documents without text come last, and are never embedded: services refuse a whole list for one.

    Args:
        embed: Texts → vectors. It embeds the documents, and the queries too without `embed_queries`.
        collection: The documents and queries.
        depth: How many documents per query.
        embed_queries: Embeds the queries, where a model treats them differently (with a prompt or a prefix).

    Returns:
        query id → document ids, nearest first.

    Raises:
        InputError: Vectors that can't be compared: a wrong number of them, several lengths, NaN.
    """
    document_ids, query_ids = list(collection.documents), list(collection.queries)
    # Equal texts are embedded once, and compared once: a product of matrices gives equal rows unequal last bits.
    rows: dict[str, int] = {}
    row_of_document = [rows.setdefault(text, len(rows)) for text in collection.documents.values()]
    read = [text for text in rows if not is_blank(text)]
    if not read:
        raise InputError(f"no document of {collection.name} has a text")
    vectors = _vectors(embed, read)
    documents = np.zeros((len(rows), vectors.shape[1]), np.float32)
    documents[[rows[text] for text in read]] = vectors
    unread = [row for text, row in rows.items() if is_blank(text)]
    queries = _vectors(embed_queries or embed, list(collection.queries.values()))
    if documents.shape[1] != queries.shape[1]:
        raise InputError(
            f"documents have vectors of {documents.shape[1]} numbers and queries of {queries.shape[1]}: "
            "embed both with one model"
        )
    run: dict[str, list[str]] = {}
    for start in range(0, len(query_ids), TEXTS_PER_BLOCK):
        block = slice(start, start + TEXTS_PER_BLOCK)
        similarities = queries[block] @ documents.T
        similarities[:, unread] = -np.inf
        order = np.argsort(-similarities[:, row_of_document], axis=1, kind="stable")[:, :depth]
        for query, best in zip(query_ids[block], order, strict=True):
            run[query] = [document_ids[document] for document in best]
    return run


def retrieved_run(stage: FirstStage, collection: Collection, depth: int) -> Run:
    """Return what a first stage, such as `TwoStageSearch` takes, finds for every query.

    Args:
        stage: Its passages' ids are the collection's document ids.
        collection: The queries.
        depth: How many documents per query.

    Returns:
        query id → document ids, best first.

    Raises:
        InputError: A passage has an id that the collection doesn't know.
    """
    if not callable(getattr(check_first_stage(stage), "retrieve", None)):
        raise InputError(f"{type(stage).__name__} can only be awaited: give it retrieve(query, k) too")
    query_ids = list(collection.queries)
    run: dict[str, list[str]] = {}
    for start in range(0, len(query_ids), TEXTS_PER_BLOCK):
        block = query_ids[start : start + TEXTS_PER_BLOCK]
        texts = [collection.queries[query] for query in block]
        lists: Sequence[Sequence[Passage | str]]
        if isinstance(stage, ManyFirstStage):
            lists = stage.retrieve_many(texts, depth)
        else:
            lists = [stage.retrieve(text, depth) for text in texts]
        for query, found in zip(block, lists, strict=True):
            passages = as_passages(found, found_by(stage))
            if any(passage.id is None for passage in passages):
                raise InputError(f"{found_by(stage)} must have ids: the _id of documents in {collection.name}")
            run[query] = [str(passage.id) for passage in passages]
    return check_run(run, collection, "the first stage")


def chroma_run(address: str, collection: Collection, depth: int) -> Run:
    """Query a Chroma database, `FOLDER` or `FOLDER#collection`, through the collection's own embedding function."""
    from resift.search.chroma import ChromaFirstStage  # here: it says which extra is missing
    from resift.search.collections import CollectionNotFoundError, open_collection
    from resift.search.query_embedding import UnknownEmbeddingError

    # isort: split
    from chromadb.errors import ChromaError

    folder, _, name = address.partition("#")
    try:
        stage = ChromaFirstStage(open_collection(Path(folder), name or None))
        return retrieved_run(stage, collection, depth)
    except CollectionNotFoundError as error:
        names = ", ".join(error.names) or "none"
        raise InputError(
            f"chroma:{address}: say which collection, as in chroma:{folder}#NAME (there is: {names})"
        ) from error
    except UnknownEmbeddingError as error:
        raise InputError(
            f"chroma:{address}: {error.reason}; measure it from Python, with stage="
            "retrieved_run(ChromaFirstStage(collection, embed=function), ...), or give a run file"
        ) from error
    except InputError as error:
        raise InputError(f"chroma:{address}: {error}") from error
    except (ChromaError, ValueError) as error:
        raise InputError(f"chroma:{address} can't be queried: {error}") from error


def sentence_transformer_run(folder: str, collection: Collection, depth: int) -> Run:
    """Embed with a sentence-transformers bi-encoder in a folder, and the prompts it has for queries and documents."""
    try:
        from sentence_transformers import SentenceTransformer  # here: only this first stage needs it
    except ImportError as error:
        raise MissingExtraError("a bi-encoder as first stage", "sentence-transformers") from error
    if encoder_kind(Path(folder)) != "SentenceTransformer":
        # sentence-transformers would make a bi-encoder of any network's files, with a warning: an untrained one.
        raise InputError(f"st:{folder}: no sentence-transformers bi-encoder is there (a folder with modules.json)")
    try:
        model = SentenceTransformer(folder, local_files_only=True)
    except Exception as error:  # torch and model classes raise errors of any type; callers catch one
        raise ModelFileError(f"{folder} can't be loaded by sentence-transformers: {error}") from error
    return embedding_run(
        lambda texts: model.encode_document(normalise_all(texts)),
        collection,
        depth,
        embed_queries=lambda texts: model.encode_query(normalise_all(texts)),
    )


def encoder_kind(folder: Path) -> str | None:
    """Return `SentenceTransformer` (a bi-encoder), `SparseEncoder`..., or None for a folder that holds no encoder.

    sentence-transformers writes modules.json for cross-encoders too; another file tells which it is.
    """
    if not (folder / "modules.json").is_file():
        return None
    config = folder / "config_sentence_transformers.json"
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None
    return None if kind == "CrossEncoder" else str(kind or "SentenceTransformer")


def _vectors(embed: Embed, texts: list[str]) -> NDArray[np.float32]:
    """Return unit vectors, (texts, dimensions); a vector of zeros stays zero, and is near to nothing."""
    blocks = []
    for start in range(0, len(texts), TEXTS_PER_BLOCK):
        block = texts[start : start + TEXTS_PER_BLOCK]
        vectors = np.asarray(embed([replace_half_pairs(text) for text in block]), np.float32)
        if vectors.ndim != 2 or len(vectors) != len(block) or not np.isfinite(vectors).all():
            raise InputError(
                f"the embedding function gave an array of shape {vectors.shape} for {len(block)} texts"
                f"{'' if np.isfinite(vectors).all() else ', with NaN or infinite numbers in it'}; "
                "it must give one vector of finite numbers per text"
            )
        blocks.append(vectors)
    joined = np.concatenate(blocks)
    norms = np.linalg.norm(joined, axis=1, keepdims=True)
    unit: NDArray[np.float32] = joined / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
