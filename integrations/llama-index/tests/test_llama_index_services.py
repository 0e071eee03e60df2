"""A service by name: sync and async, and its key in nothing that is written."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore
from rerank_server import RerankServer

from llama_index.postprocessor.resift import ResiftRerank

KEY = "sk-hush-4711"


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer("cohere", key=KEY).running() as running:
        yield running


async def test_a_service_by_name(server: RerankServer, nodes: list[NodeWithScore]) -> None:
    rerank = ResiftRerank(model="cohere:rerank-v3.5", top_n=2, engine_options={"base_url": server.url, "api_key": KEY})
    found = rerank.postprocess_nodes(nodes, query_str="red fox")
    assert [(hit.node_id, hit.score) for hit in found] == [("n1", 1.0), ("n2", 0.5)]
    again = await rerank.apostprocess_nodes(nodes, query_str="red fox")
    assert [hit.node_id for hit in again] == ["n1", "n2"]
    assert {request.body["model"] for request in server.requests} == {"rerank-v3.5"}


def test_the_key_is_not_written(
    server: RerankServer, nodes: list[NodeWithScore], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"base_url": server.url, "max_retries": 1}
    rerank = ResiftRerank(model="cohere:m", engine_options={**options, "api_key": KEY})
    rerank.postprocess_nodes(nodes, query_str="red fox")
    assert rerank.to_dict()["engine_options"] == options
    for written in (
        repr(rerank),
        str(rerank),
        rerank.to_json(),
        rerank.model_dump_json(),
        json.dumps(rerank.to_dict()),
    ):
        assert KEY not in written
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(rerank)
    with pytest.raises(ValueError, match="given twice") as caught:
        ResiftRerank(model="cohere:m", threads=1, engine_options={"threads": 2, "api_key": KEY})
    assert KEY not in str(caught.value)
    monkeypatch.setenv("CO_API_KEY", KEY)
    read = ResiftRerank.from_dict(rerank.to_dict())
    for again in (read, pickle.loads(pickle.dumps(read))):
        assert again.postprocess_nodes(nodes, query_str="red fox")[0].node_id == "n1"
