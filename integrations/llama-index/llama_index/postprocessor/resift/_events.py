"""What tracing sees of a reranking: LlamaIndex's two event systems, each with an end for every start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported without saying so
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import NodeWithScore

dispatcher = get_dispatcher("llama_index.postprocessor.resift")


@dataclass
class Outcome:
    """What came of a reranking; the body of `report_events` fills it in."""

    nodes: list[NodeWithScore] = field(default_factory=list)
    degraded: str | None = None


@contextmanager
def report_events(
    manager: CallbackManager, query: str, nodes: Sequence[NodeWithScore], top_n: int, model: str
) -> Iterator[Outcome]:
    """Send a start event before the body and an end event after it. The body fills in the outcome.

    The end event is tagged `resift.degraded` with the reason where the order is not the model's. An error becomes
    an ExceptionEvent and an end event without nodes that is tagged `resift.error`, and is raised again.
    """
    dispatcher.event(ReRankStartEvent(query=query, nodes=_snapshot(nodes), top_n=top_n, model_name=model))
    payload: dict[str, Any] = {
        EventPayload.NODES: _snapshot(nodes),
        EventPayload.MODEL_NAME: model,
        EventPayload.QUERY_STR: query,
        EventPayload.TOP_K: top_n,
    }
    outcome = Outcome()
    try:
        with manager.event(CBEventType.RERANKING, payload=payload) as legacy:
            yield outcome
            legacy.on_end(payload={EventPayload.NODES: _snapshot(outcome.nodes)})
    except BaseException as error:  # a cancelled call has a start event too, so it gets an end event
        dispatcher.event(ExceptionEvent(exception=error))
        dispatcher.event(ReRankEndEvent(nodes=[], tags={"resift.error": f"{type(error).__name__}: {error}"}))
        raise
    tags = {} if outcome.degraded is None else {"resift.degraded": outcome.degraded}
    dispatcher.event(ReRankEndEvent(nodes=_snapshot(outcome.nodes), tags=tags))


def _snapshot(nodes: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    """Return copies of the nodes as they are now: later postprocessors edit text, metadata and scores in place."""
    return [
        NodeWithScore(
            node=scored.node.model_copy(update={"metadata": dict(scored.node.metadata)}),
            score=scored.score,
        )
        for scored in nodes
    ]
