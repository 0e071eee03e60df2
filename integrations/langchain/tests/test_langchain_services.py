"""A service by name: sync and async, and its key in nothing that is written."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumps
from pydantic import SecretStr, ValidationError
from rerank_server import RerankServer

from langchain_resift import ResiftRerank

KEY = "sk-hush-4711"


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer("cohere", key=KEY).running() as running:
        yield running


async def test_a_service_by_name(server: RerankServer, documents: list[Document]) -> None:
    step = ResiftRerank(model="cohere:rerank-v3.5", top_n=2, engine_options={"base_url": server.url, "api_key": KEY})
    found = step.compress_documents(documents, "red fox")
    assert [(document.id, document.metadata["relevance_score"]) for document in found] == [("fox", 1.0), ("bus", 0.5)]
    again = await step.acompress_documents(documents, "red fox")
    assert [document.id for document in again] == ["fox", "bus"]
    assert {request.body["model"] for request in server.requests} == {"rerank-v3.5"}


@pytest.mark.parametrize("key", [KEY, SecretStr(KEY)], ids=["text", "secret"])
def test_the_key_is_not_written(
    server: RerankServer, documents: list[Document], monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    options: dict[str, Any] = {"base_url": server.url, "max_retries": 1}
    step = ResiftRerank(model="cohere:m", engine_options={**options, "api_key": key})
    step.compress_documents(documents, "red fox")
    assert step.model_dump()["engine_options"] == options
    for written in (repr(step), str(step), step.model_dump_json(), dumps(step), dumps(step.as_runnable())):
        assert KEY not in written
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(step)
    with pytest.raises(ValidationError) as caught:
        ResiftRerank(model="cohere:m", engine_options={"api_key": f"{KEY} with spaces"})
    assert KEY not in str(caught.value)
    monkeypatch.setenv("CO_API_KEY", KEY)
    read = ResiftRerank.model_validate_json(step.model_dump_json())
    for again in (read, pickle.loads(pickle.dumps(read))):
        assert again.compress_documents(documents, "red fox")[0].id == "fox"
