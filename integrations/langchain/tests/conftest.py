"""Every test runs offline, and sees what LangChain's handlers see."""

from __future__ import annotations

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "False"}

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.documents import Document
from pytest_socket import enable_socket, socket_allow_hosts

from resift import Reranker


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No sockets but this machine's own; and a developer's LangSmith settings are not for these tests."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(scope="session")
def bundled() -> Reranker:
    return Reranker()


@pytest.fixture
def documents() -> list[Document]:
    """Overlap with "red fox": none, one word, both words."""
    return [
        Document("a blue whale", id="whale", metadata={"source": "sea.txt"}),
        Document("a red bus", id="bus", metadata={"source": "town.txt"}),
        Document("the red fox", id="fox", metadata={"source": "wood.txt"}),
    ]


class Events:
    """What a callback handler was told, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.names: dict[UUID, str] = {}
        self.parents: dict[str, str | None] = {}

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen]

    def of(self, kind: str) -> Any:
        (data,) = [data for seen, data in self.seen if seen == kind]
        return data

    def start(self, name: str, inputs: Any, run_id: UUID, parent_run_id: UUID | None) -> None:
        self.names[run_id] = name
        self.parents[name] = None if parent_run_id is None else self.names.get(parent_run_id)
        self.seen.append((f"start {name}", inputs))

    def end(self, what: str, data: Any, run_id: UUID) -> None:
        self.seen.append((f"{what} {self.names[run_id]}", data))


class SyncHandler(BaseCallbackHandler):
    raise_error = True  # a mistake in this handler fails the test

    def __init__(self, events: Events) -> None:
        self.events = events

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **about: Any) -> None:
        self.events.start(about["name"], query, run_id, about["parent_run_id"])

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **about: Any) -> None:
        self.events.end("end", documents, run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        self.events.end("error", error, run_id)

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **about: Any) -> None:
        self.events.start(about["name"], inputs, run_id, about["parent_run_id"])

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **about: Any) -> None:
        self.events.end("end", outputs, run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        self.events.end("error", error, run_id)

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **about: Any) -> None:
        self.events.end(f"event {name} in", data, run_id)


class AsyncHandler(AsyncCallbackHandler):
    raise_error = True

    def __init__(self, events: Events) -> None:
        self.sync = SyncHandler(events)

    async def on_retriever_start(self, *args: Any, **about: Any) -> None:
        self.sync.on_retriever_start(*args, **about)

    async def on_retriever_end(self, *args: Any, **about: Any) -> None:
        self.sync.on_retriever_end(*args, **about)

    async def on_retriever_error(self, *args: Any, **about: Any) -> None:
        self.sync.on_retriever_error(*args, **about)

    async def on_chain_start(self, *args: Any, **about: Any) -> None:
        self.sync.on_chain_start(*args, **about)

    async def on_chain_end(self, *args: Any, **about: Any) -> None:
        self.sync.on_chain_end(*args, **about)

    async def on_chain_error(self, *args: Any, **about: Any) -> None:
        self.sync.on_chain_error(*args, **about)

    async def on_custom_event(self, *args: Any, **about: Any) -> None:
        self.sync.on_custom_event(*args, **about)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def handler(events: Events) -> SyncHandler:
    return SyncHandler(events)


@pytest.fixture
def async_handler(events: Events) -> AsyncHandler:
    return AsyncHandler(events)


class Forbidden(ThreadPoolExecutor):
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the event loop's default executor was used")


@pytest.fixture
def forbidden_executor() -> Iterator[Forbidden]:
    """For `loop.set_default_executor`: everybody else's executor is not ours to fill."""
    executor = Forbidden(max_workers=1)
    yield executor
    executor.shutdown()


@pytest.fixture
def collection() -> Iterator[Callable[..., Any]]:
    """Makes Chroma collections in memory, under names of their own: ephemeral clients share their store."""
    import chromadb

    client = chromadb.EphemeralClient()
    names: list[str] = []

    def make(**settings: Any) -> Any:
        names.append(f"test-{uuid4()}")
        return client.create_collection(names[-1], **settings)

    yield make
    for name in names:
        client.delete_collection(name)
