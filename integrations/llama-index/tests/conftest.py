"""Every test runs offline, and sees what LlamaIndex's tracing sees."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import BoundArguments
from typing import Any

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported without saying so
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span import SimpleSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.schema import NodeWithScore, TextNode
from pytest_socket import enable_socket, socket_allow_hosts

from resift import Reranker


class Events(BaseEventHandler):
    """Keeps every event."""

    seen: list[BaseEvent] = Field(default_factory=list)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.seen.append(event)

    def named(self, *names: str) -> list[Any]:
        return [event for event in self.seen if event.class_name() in names]

    @property
    def rerank(self) -> list[str]:
        wanted = ("ReRankStartEvent", "ExceptionEvent", "ReRankEndEvent")
        return [event.class_name() for event in self.named(*wanted)]


class Spans(BaseSpanHandler[SimpleSpan]):
    """Keeps how every span ended, by the name of its method."""

    ended: list[tuple[str, str]] = Field(default_factory=list)

    def new_span(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any = None,
        parent_span_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> SimpleSpan:
        return SimpleSpan(id_=id_, parent_id=parent_span_id)

    def prepare_to_exit_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan:
        self.ended.append((id_.split("-")[0], "exit"))
        return self.open_spans[id_]

    def prepare_to_drop_span(self, id_: str, *args: Any, **kwargs: Any) -> SimpleSpan:
        self.ended.append((id_.split("-")[0], "drop"))
        return self.open_spans[id_]


@pytest.fixture(autouse=True)
def offline() -> Iterator[None]:
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture
def events() -> Iterator[Events]:
    root, handler = get_dispatcher(), Events()
    root.event_handlers.append(handler)
    yield handler
    root.event_handlers.remove(handler)


@pytest.fixture
def spans() -> Iterator[Spans]:
    root, handler = get_dispatcher(), Spans()
    root.span_handlers.append(handler)
    yield handler
    root.span_handlers.remove(handler)


@pytest.fixture(scope="session")
def bundled() -> Reranker:
    return Reranker()


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    """First-stage order: whale, fox, whale again; for the query "red fox" the second is best, then the third."""
    texts = ["a blue whale", "the red fox", "a red whale"]
    return [
        NodeWithScore(
            node=TextNode(text=text, id_=f"n{position}", metadata={"page": position}), score=0.9 - position / 10
        )
        for position, text in enumerate(texts)
    ]
