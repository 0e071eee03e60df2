"""What goes into a first stage and what comes out of it, checked: queries, how many, and candidates with a text."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resift._util.arguments import check_query
from resift.errors import InputError


@dataclass(frozen=True, slots=True)
class Found:
    """Where one half of a hybrid first stage has a passage."""

    rank: int
    """From 1."""
    score: float | None = None
    """The half's own number: of a bi-encoder the similarity, of an index of words BM25. Never comparable with another
    half's."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What a first stage yields."""

    text: str
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    similarity: float | None = None
    """The bi-encoder's own: higher is nearer; comparable within one collection only. None: it didn't find it."""
    found: Mapping[str, Found] = field(default_factory=dict)
    """Of a hybrid first stage: "dense", "lexical" or both, whichever found it, with its rank and score there."""
    fused: float | None = None
    """Of a hybrid first stage: what its order goes by, the sum of weight / (60 + rank) over `found`."""


def check_first_stage(first_stage: Any) -> Any:
    """Return the first stage. Raises InputError for an object that is none, with the way to one."""
    kind = type(first_stage).__name__
    if kind in ("Collection", "AsyncCollection"):
        raise InputError(f"first_stage is a Chroma {kind}: wrap it, as in resift.chroma.ChromaFirstStage(collection)")
    if callable(getattr(first_stage, "get_collection", None)):
        raise InputError(f"first_stage is a {kind}: give resift.chroma.ChromaFirstStage(client.get_collection(name))")
    if isinstance(first_stage, type):
        raise InputError(f"first_stage is the class {first_stage.__name__}: give an object of it")
    retrieve = getattr(first_stage, "retrieve", None)
    if is_awaited(retrieve):
        raise InputError(f"retrieve of {kind} is a coroutine: call it aretrieve, and search with asearch")
    if callable(retrieve) or is_awaited(getattr(first_stage, "aretrieve", None)):
        return first_stage
    raise InputError(
        f"first_stage is a {kind} without retrieve(query, k): give a first stage, such as MemoryFirstStage(texts)"
    )


def is_awaited(function: Any) -> bool:
    """Return whether calling a function gives something to await."""
    return inspect.iscoroutinefunction(function)


def check_queries(queries: Any) -> list[str]:
    """Return the queries as a list. Raises InputError for a single text, and for a query that is no text."""
    if isinstance(queries, str | bytes):
        raise InputError("queries is one text; give a list of queries, [query] for a single one")
    if not isinstance(queries, Iterable):
        raise InputError(f"queries is a {type(queries).__name__}; give a list of texts")
    return [check_query(query) for query in queries]


def as_passages(found: Any, source: str) -> list[Passage]:
    """Return candidates as passages; a plain text becomes one without an id.

    Args:
        found: Passages or texts. An object of another class stays as it is where its `text` is a text.
        source: What they are, as the beginning of an error.

    Raises:
        InputError: Something else.
    """
    if isinstance(found, str | bytes | Mapping) or not _has_items(found):
        if inspect.iscoroutine(found):
            found.close()  # or Python warns that nobody awaited it
        raise InputError(f"{source} must be a list of resift.Passage, or of texts, and is {_a(found)}")
    return [Passage(item) if isinstance(item, str) else _checked(item, source) for item in found]


def _has_items(found: Any) -> bool:
    try:
        iter(found)
    except TypeError:  # NumPy's single numbers, too, have the method but no items
        return False
    return True


def name_of_stage(first_stage: Any) -> str:
    """Return what reports call a first stage: its `name`, or its class."""
    name = getattr(first_stage, "name", None)
    return name if isinstance(name, str) and name else type(first_stage).__name__


def found_by(first_stage: Any) -> str:
    """Return what an error calls the candidates of a first stage."""
    return f"what {type(first_stage).__name__} retrieves"


def _checked(item: Any, source: str) -> Passage:
    text = getattr(item, "text", None)
    if isinstance(text, str):
        passage: Passage = item
        return passage
    detail = "" if text is None else f", whose text is {_a(text)}"
    if isinstance(getattr(item, "page_content", None), str):  # LangChain's
        detail = "; for a LangChain retriever there is langchain_resift.ResiftRetriever"
    raise InputError(f"{source} must be a list of resift.Passage, or of texts, and holds {_a(item)}{detail}")


def _a(value: object) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0].lower() in 'aeio' else 'a'} {kind}"
