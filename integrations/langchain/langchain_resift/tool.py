"""A retriever as a tool of an agent: what it reads of each document, and what it must know before it answers."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.documents import Document
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from langchain_resift.retriever import ResiftRetriever
from resift import InputError, OverloadedError, Reranker, ScorerError
from resift.adapters import ANSWERABLE, not_enough, show_value

ENOUGH = ANSWERABLE
"""From this relevance on, a document counts as an answer; below, the agent is told so."""
DESCRIPTION = (
    "Search the user's documents. Takes a short question in plain words and returns passages, best first, each with "
    "its relevance (0 to 1) and source. Search again with other words rather than answering from passages of low "
    "relevance."
)


def search_tool(
    retriever: ResiftRetriever,
    *,
    name: str = "search",
    description: str = DESCRIPTION,
    enough: float = ENOUGH,
    source_keys: Sequence[str] = ("path", "source", "section", "page"),
) -> BaseTool:
    """Return a tool for `create_agent`, LangGraph's `ToolNode` or any model that calls tools.

        agent = create_agent(model, [search_tool(ResiftRetriever(first_stage=store, k=5))])

    The agent reads the documents with their relevance and source, and before them what it must know first: that
    nothing was found, that nothing is relevant enough to answer from, or that the order is not wholly the model's. The
    tool message's `artifact` has the documents themselves. A call that makes no sense, or a model that fails, is
    answered in words, so that the agent can ask again.

    Args:
        retriever: The retriever. Its `k` is how many documents the agent gets.
        name: The tool's name.
        description: What the agent is told of the tool.
        enough: The relevance from which on a document counts as an answer.
        source_keys: Metadata that says where a document comes from, as far as it is there.

    Raises:
        InputError: `enough` is no share, or `source_keys` no list.
    """
    if isinstance(enough, bool) or not 0 <= enough <= 1:
        raise InputError(f"enough is a relevance, between 0 and 1, got {enough}")
    if isinstance(source_keys, str):
        raise InputError(f"source_keys is one text; give a list of keys, [{source_keys!r}] for a single one")

    def search(question: str) -> tuple[str, list[Document]]:
        try:
            found, reranker = retriever.invoke(question), retriever.load()
        except (InputError, OverloadedError, ScorerError) as error:
            raise ToolException(str(error)) from error
        return _content(found, _has_relevance(retriever, reranker), enough, source_keys), found

    async def asearch(question: str) -> tuple[str, list[Document]]:
        try:
            found, reranker = await retriever.ainvoke(question), await retriever.aload()
        except (InputError, OverloadedError, ScorerError) as error:
            raise ToolException(str(error)) from error
        return _content(found, _has_relevance(retriever, reranker), enough, source_keys), found

    return StructuredTool.from_function(
        search,
        asearch,
        name=name,
        description=description,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _has_relevance(retriever: ResiftRetriever, reranker: Reranker) -> bool:
    """Return whether `relevance_score` is one: a cosine, too, may lie between 0 and 1."""
    return retriever.score == "relevance" and reranker.scorer.scale.has_relevance


def _content(documents: Sequence[Document], has_relevance: bool, enough: float, source_keys: Sequence[str]) -> str:
    notes = (
        ["The order is not wholly the model's."] if any("rerank_degraded" in one.metadata for one in documents) else []
    )
    scores = _relevances(documents) if has_relevance else []
    if not documents:
        notes.append("Nothing was found.")
    elif scores and max(scores) < enough:
        notes.append(not_enough(max(scores), enough))
    known = bool(scores)
    return "\n\n".join(
        [*notes, *(_passage(number, one, source_keys, known) for number, one in enumerate(documents, 1))]
    )


def _relevances(documents: Sequence[Document]) -> list[float]:
    return [score for document in documents if (score := document.metadata.get("relevance_score")) is not None]


def _passage(number: int, document: Document, source_keys: Sequence[str], has_relevance: bool) -> str:
    score = document.metadata.get("relevance_score") if has_relevance else None
    relevance = "" if score is None else f"relevance {score:.2f}"
    source = " · ".join(filter(None, (show_value(document.metadata.get(key)) for key in source_keys)))
    head = " ".join([f"[{number}]", ", ".join(filter(None, [relevance, source]))]).strip()
    return f"{head}\n{document.page_content}"
