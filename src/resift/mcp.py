"""An MCP server over an indexed collection: what agents search, rerank and read with. Needs `resift[mcp]`.

The Model Context Protocol (modelcontextprotocol.io) is what agents ask for tools with. All tools here only read.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from resift._util.worker import Worker
from resift.errors import InputError, MissingExtraError, ResiftError
from resift.reranking.ranking import ANSWERABLE, Hit, Ranking, not_enough
from resift.reranking.sentences import ScoredSentence
from resift.search.chroma import get_records
from resift.search.two_stage import Passage, TwoStageSearch

try:
    from mcp.types import ToolAnnotations
    from pydantic import BaseModel, Field

    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError

        IN_SETTINGS = False
    except ImportError:  # before version 2, which langchain-mcp-adapters 0.3 needs
        from mcp.server.fastmcp import FastMCP as MCPServer  # type: ignore[attr-defined, no-redef]  # its name before
        from mcp.server.fastmcp.exceptions import ToolError  # type: ignore[import-not-found, no-redef]  # the same

        IN_SETTINGS = True
except ImportError as error:
    raise MissingExtraError("the MCP server", "mcp") from error

if TYPE_CHECKING:
    from chromadb import Collection

ENOUGH = ANSWERABLE
"""From this relevance on, a passage counts as an answer; below, the agent is told so."""
MAX_RESULTS = 50
MAX_TEXTS = 1000
CALLS_WAITING = 64
THIS_MACHINE = "127.0.0.1"
INSTRUCTIONS = (
    "Search the user's own documents. `relevance` is 0 to 1: below {enough} a passage hardly answers the question, and "
    "`note` says so when none does. Cite `path`, `section` and the sentence in `evidence`. Ask short questions in "
    "plain words; search again with other words rather than asking for more results."
)


class Evidence(BaseModel):
    """The sentence that answers, to be cited."""

    text: str
    relevance: float | None
    start: int | None = Field(
        default=None, description="Offset in the file's text (of a text that was given: in that text)."
    )
    end: int | None = None


class PassageText(BaseModel):
    """A passage of a file."""

    id: str | None = Field(description="For `read_passages`.")
    text: str
    path: str | None = None
    section: str | None = None
    page: int | None = None
    start: int | None = Field(default=None, description="Offset of the passage in the file's text.")
    end: int | None = None


class FoundPassage(PassageText):
    """A passage of a search."""

    rank: int
    relevance: float | None = Field(description="0 to 1; null where the model has no such scale, or gave no score.")
    evidence: Evidence | None = None


class SearchAnswer(BaseModel):
    """What a search found, best first."""

    results: list[FoundPassage]
    note: str | None = Field(default=None, description="What to know before the results are used.")


class RankedText(BaseModel):
    """A text that was given, and how relevant it is."""

    rank: int
    index: int = Field(description="Its place in the list that was given, from 0.")
    relevance: float | None
    evidence: Evidence | None = None


class RerankAnswer(BaseModel):
    """The texts' order, best first."""

    results: list[RankedText]
    note: str | None = None


class ReadAnswer(BaseModel):
    """Passages of one file, in their order there."""

    passages: list[PassageText]


def mcp_server(search: TwoStageSearch, *, enough: float = ENOUGH, evidence: bool = True, **options: Any) -> MCPServer:
    """Return an MCP server with the tools `search`, `rerank` and `read_passages`.

    Args:
        search: Two-stage search over a `ChromaFirstStage`, or over a `HybridFirstStage` of one.
        enough: The relevance from which on a passage counts as an answer. Where none reaches it, a note says so.
        evidence: Whether results have the sentence that answers; a service or an LLM is asked once more for it.
        **options: Options of the SDK's server.

    Returns:
        The server of the `mcp` package.

    Raises:
        InputError: A search over something else than Chroma.
    """
    stage = search.first_stage
    collection = getattr(stage, "collection", None)
    if collection is None:
        raise InputError(f"the MCP server reads passages from Chroma, and the first stage is a {type(stage).__name__}")
    worker = Worker(CALLS_WAITING, "the collection")
    if not IN_SETTINGS:  # before version 2, the SDK told its own version
        options = {"version": version("resift"), **options}
    server = MCPServer("resift", instructions=INSTRUCTIONS.format(enough=enough), log_level="WARNING", **options)
    read_only = ToolAnnotations.model_validate({"readOnlyHint": True, "openWorldHint": False})

    @server.tool(name="search", annotations=read_only)
    async def find(question: str, top_k: int = 5) -> SearchAnswer:
        """Find the passages of the user's documents that answer a question, best first, with their relevance."""
        with_limit = min(_at_least_one("top_k", top_k), MAX_RESULTS)
        ranking = await _told(search.asearch(question, with_limit, evidence=int(evidence)))
        results = [_found(hit.document, hit) for hit in ranking]
        return SearchAnswer(results=results, note=_note(ranking, enough))

    @server.tool(annotations=read_only)
    async def rerank(question: str, texts: list[str], top_k: int | None = None) -> RerankAnswer:
        """Order texts by how well they answer a question, best first: say, the results of another search."""
        if len(texts) > MAX_TEXTS:
            raise ToolError(f"{len(texts)} texts are more than the {MAX_TEXTS} of a call")
        ranking = await _told(search.reranker.arank(question, texts, top_k=top_k, evidence=int(evidence)))
        results = [
            RankedText(rank=hit.rank, index=hit.index, relevance=_relevance(hit.relevance), evidence=_evidence(hit, 0))
            for hit in ranking
        ]
        return RerankAnswer(results=results, note=_note(ranking, enough))

    @server.tool(annotations=read_only)
    async def read_passages(id: str, around: int = 1) -> ReadAnswer:
        """Read a passage that a search found, and so many before and after it in the same file."""
        answer: ReadAnswer = await _told(worker.run(lambda: _read(collection, id, min(max(0, around), MAX_RESULTS))))
        return answer

    return server


def run(search: TwoStageSearch, *, enough: float = ENOUGH, evidence: bool = True, port: int | None = None) -> None:
    """Run the server until the agent ends it.

    Args:
        search: As `mcp_server` takes it.
        enough: The same.
        evidence: The same.
        port: Serve streamable HTTP there, to this machine alone, at /mcp. None: standard input and output.

    Raises:
        InputError: As `mcp_server`; or the port is taken.
    """
    if port is None:
        mcp_server(search, enough=enough, evidence=evidence).run("stdio")
        return
    try:
        socket.create_server((THIS_MACHINE, port)).close()  # the SDK's server ends the process where it can't listen
    except OSError as error:
        raise InputError(
            f"can't listen on {THIS_MACHINE} port {port}: {os.strerror(error.errno or 0)}; give another --port"
        ) from None
    if IN_SETTINGS:
        mcp_server(search, enough=enough, evidence=evidence, port=port).run("streamable-http")
    else:
        mcp_server(search, enough=enough, evidence=evidence).run("streamable-http", port=port)


async def _told(awaited: Any) -> Any:
    """Return the result; what resift refuses is told to the agent in its own words."""
    try:
        return await awaited
    except ResiftError as error:
        raise ToolError(str(error)) from None


def _at_least_one(name: str, number: int) -> int:
    if number < 1:
        raise ToolError(f"{name} must be at least 1, got {number}")
    return number


def _note(ranking: Ranking[Any], enough: float) -> str | None:
    """Return what an agent must know: that nothing is relevant enough, or that the order is not the model's."""
    notes = [f"This order is not wholly the model's: {ranking.degraded}."] if ranking.degraded else []
    best = ranking.best_relevance
    if not ranking.hits:
        notes.append("Nothing was found.")
    elif best is not None and best < enough:
        notes.append(not_enough(best, enough))
    return " ".join(notes) or None


def _found(passage: Passage, hit: Hit[Passage]) -> FoundPassage:
    source = _source(passage.id, passage.text, passage.metadata)
    return FoundPassage(
        rank=hit.rank, relevance=_relevance(hit.relevance), evidence=_evidence(hit, _begin(source)), **source
    )


def _begin(source: Mapping[str, Any]) -> int | None:
    """Return the place in the file of the beginning of a passage; None where somebody else's `start` is another thing.

    The first line of a passage, and the empty one below it, are no part of the file's text.
    """
    text, start, end = source["text"], source.get("start"), source.get("end")
    if start is None or end is None or not start < end:
        return None
    added = len(text) - (end - start)
    return start - added if added == 0 or (added > 0 and text[:added].endswith("\n\n")) else None


def _evidence(hit: Hit[Any], first: int | None) -> Evidence | None:
    """Return the best sentence; `first` is the place of the text's beginning, None where it is not known."""
    if not hit.evidence:
        return None
    best: ScoredSentence = hit.evidence[0]
    place = {} if first is None else {"start": first + best.start, "end": first + best.end}
    return Evidence(text=best.text, relevance=_relevance(best.relevance), **place)


def _relevance(relevance: float | None) -> float | None:
    return None if relevance is None else round(relevance, 4)


def _source(id: str | None, text: str, metadata: Any) -> dict[str, Any]:
    """Return the fields that say where a passage comes from, as far as `resift index` or somebody else stored them."""
    kinds = {"path": str, "section": str, "page": int, "start": int, "end": int}
    known = {key: metadata.get(key) for key in kinds} if metadata else {}
    return {"id": id, "text": text, **{key: value for key, value in known.items() if isinstance(value, kinds[key])}}


def _read(collection: Collection, id: str, around: int) -> ReadAnswer:
    found = get_records(collection, ids=[id], include=["documents", "metadatas"])
    if not found["ids"]:
        raise ToolError(f"there is no passage with the id {id[:100]!r}: give one that a search returned")
    metadata: Mapping[str, Any] = (found["metadatas"] or [{}])[0] or {}
    path, position = metadata.get("path"), metadata.get("position")
    if around and isinstance(path, str) and isinstance(position, int):
        nearby: list[Any] = [{"position": {"$gte": position - around}}, {"position": {"$lte": position + around}}]
        same_file = {"$and": [{"path": path}, *nearby]}
        found = get_records(collection, where=same_file, include=["documents", "metadatas"])
    rows: Sequence[tuple[str, str | None, Any]] = list(
        zip(found["ids"], found["documents"] or (), found["metadatas"] or (), strict=True)
    )
    rows = sorted(rows, key=lambda row: (row[2] or {}).get("position", 0))
    return ReadAnswer(passages=[PassageText(**_source(row_id, text or "", of)) for row_id, text, of in rows])
