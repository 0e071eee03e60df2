"""First stages made of vectors: any embedding function or `FirstStage`, a Chroma collection, a bi-encoder's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resift.errors import InputError, MissingExtraError, ModelFileError
from resift.evaluation.collection import Collection, Run, check_run
from resift.search.two_stage import FirstStage, ManyFirstStage, Passage

Embed = Callable[[list[str]], ArrayLike]
"""Texts to vectors, one row each: a Chroma EmbeddingFunction, SentenceTransformer.encode, a function of yours."""

BLOCK = 256  # texts embedded, or queries compared with all documents, at once


def embedding_run(embed: Embed, collection: Collection, depth: int, *, embed_queries: Embed | None = None) -> Run:
    """The nearest `depth` documents of every query, by cosine; documents equally near keep the collection's order.

    `embed_queries` embeds the queries where a model treats them differently (with a prompt or a prefix). Raises
    InputError for vectors that can't be compared: a wrong number, several lengths, NaN.
    """
    ids, asked = list(collection.documents), list(collection.queries)
    # Equal texts are embedded once, and compared once: a product of matrices gives equal rows unequal last bits.
    places: dict[str, int] = {}
    slots = [places.setdefault(text, len(places)) for text in collection.documents.values()]
    documents = _vectors(embed, list(places))
    queries = _vectors(embed_queries or embed, list(collection.queries.values()))
    if documents.shape[1] != queries.shape[1]:
        raise InputError(
            f"documents have vectors of {documents.shape[1]} numbers and queries of {queries.shape[1]}: "
            "embed both with one model"
        )
    found: dict[str, list[str]] = {}
    for start in range(0, len(asked), BLOCK):
        similarities = (queries[start : start + BLOCK] @ documents.T)[:, slots]
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :depth]
        for query, best in zip(asked[start : start + BLOCK], order, strict=True):
            found[query] = [ids[place] for place in best]
    return found


def retrieved_run(stage: FirstStage, collection: Collection, depth: int) -> Run:
    """What a first stage, as `TwoStageSearch` takes one, gives for every query.

    Its passages' ids are the collection's document ids; raises InputError for any other.
    """
    asked = list(collection.queries)
    found: dict[str, list[str]] = {}
    for start in range(0, len(asked), BLOCK):
        block = asked[start : start + BLOCK]
        texts = [collection.queries[query] for query in block]
        lists: Sequence[Sequence[Passage]]
        if isinstance(stage, ManyFirstStage):
            lists = stage.retrieve_many(texts, depth)
        else:
            lists = [stage.retrieve(text, depth) for text in texts]
        found.update({query: [str(one.id) for one in listed] for query, listed in zip(block, lists, strict=True)})
    return check_run(found, collection, "the first stage")


def chroma_run(address: str, collection: Collection, depth: int) -> Run:
    """Query a Chroma database, `FOLDER` or `FOLDER#collection`, through the collection's own embedding function."""
    from resift.search.chroma import ChromaFirstStage  # here: it says which extra is missing
    from resift.search.collections import CollectionNotFoundError, open_collection

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
    except InputError as error:
        raise InputError(f"chroma:{address}: {error}") from error
    except (ChromaError, ValueError) as error:
        raise InputError(f"chroma:{address} can't be queried: {error}") from error


def sentence_transformer_run(folder: str, collection: Collection, depth: int) -> Run:
    """A sentence-transformers bi-encoder in a folder, with the prompts its files give for queries and documents."""
    try:
        from sentence_transformers import SentenceTransformer  # here: only this first stage needs it
    except ImportError as error:
        raise MissingExtraError("a bi-encoder as first stage", "sentence-transformers") from error
    if encoder_kind(Path(folder)) != "SentenceTransformer":
        # sentence-transformers would make one of any network's files, with a warning: one that nobody trained.
        raise InputError(f"st:{folder}: no sentence-transformers bi-encoder is there (a folder with modules.json)")
    try:
        model = SentenceTransformer(folder, local_files_only=True)
    except Exception as error:  # torch and every model class raise what they like; callers catch one type
        raise ModelFileError(f"{folder} can't be loaded by sentence-transformers: {error}") from error
    return embedding_run(model.encode_document, collection, depth, embed_queries=model.encode_query)


def encoder_kind(folder: Path) -> str | None:
    """`SentenceTransformer` (a bi-encoder), `SparseEncoder`..., or None for a folder that holds no encoder.

    sentence-transformers writes modules.json for cross-encoders too, and says so in another file.
    """
    if not (folder / "modules.json").is_file():
        return None
    about = folder / "config_sentence_transformers.json"
    kind = json.loads(about.read_text(encoding="utf-8")).get("model_type") if about.is_file() else None
    return None if kind == "CrossEncoder" else str(kind or "SentenceTransformer")


def _vectors(embed: Embed, texts: list[str]) -> NDArray[np.float32]:
    """Unit vectors; a vector of zeros stays one, and is near to nothing."""
    blocks = []
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        vectors = np.asarray(embed(block), np.float32)
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
