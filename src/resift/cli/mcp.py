"""`resift mcp`: an indexed collection as tools of an agent."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from resift.cli._models import reranker
from resift.cli._options import COLLECTION, DB, STATES, CalibrationFile, Collection, Db, Instruction, Long, Model
from resift.cli._search import Embedder, Hybrid
from resift.errors import InputError

PORT = 8000


class Transport(StrEnum):
    """How the agent talks to the server."""

    STDIO = "stdio"
    HTTP = "http"


def mcp(
    collection: Collection = COLLECTION,
    db: Db = DB,
    candidates: Annotated[int, typer.Option("--candidates", min=1, help="How many passages are reranked.")] = 50,
    enough: Annotated[
        float, typer.Option("--enough", min=0, max=1, help="Below this relevance, a note says that nothing answers.")
    ] = 0.2,
    model: Model = None,
    long_documents: Long = None,
    calibration: CalibrationFile = None,
    instruction: Instruction = None,
    evidence: Annotated[
        bool, typer.Option("--evidence/--no-evidence", help="Give the sentence that answers with each result.")
    ] = True,
    hybrid: Hybrid = None,
    embedder: Embedder = None,
    transport: Annotated[
        Transport,
        typer.Option("--transport", help="stdio, for agents that start it; http, at http://127.0.0.1:PORT/mcp."),
    ] = Transport.STDIO,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="The port, with --transport http.", show_default=str(PORT)),
    ] = None,
) -> None:
    """Serve search, rerank and read to an agent, by the Model Context Protocol. It only reads."""
    from resift.cli._search import own_model, two_stages
    from resift.mcp import run

    if port is not None and transport is Transport.STDIO:
        raise InputError("--port is for --transport http: give both, or neither")
    model = model or own_model(db, collection)
    ranker = reranker(model, long_documents, db / STATES, calibration=calibration, instruction=instruction)
    search = two_stages(db, collection, ranker, candidates=candidates, hybrid=hybrid, embedder=embedder)
    http: dict[str, Any] = {"port": port or PORT} if transport is Transport.HTTP else {}
    run(search, enough=enough, evidence=evidence, **http)
