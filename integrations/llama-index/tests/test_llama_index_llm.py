"""LLM rerankers in LlamaIndex: an LLM of its own, and an endpoint by name."""

from __future__ import annotations

import pickle

import pytest
from chat_server import completion, serving
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore

from llama_index.postprocessor.resift import ResiftRerank
from resift import InputError, Reranker
from resift.llm import LlmScorer


class Third(MockLLM):
    """Prefers the third."""

    def _generate_text(self, length: int) -> str:
        return "[3] > [1] > [2]"


async def test_an_llm(nodes: list[NodeWithScore]) -> None:
    rerank = ResiftRerank(reranker=Reranker(LlmScorer(Third(max_tokens=9))), top_n=2)
    results = rerank.postprocess_nodes(nodes, query_str="red fox")
    assert [(node.node, node.score) for node in results] == [(nodes[2].node, 3), (nodes[0].node, 2)]
    assert await rerank.apostprocess_nodes(nodes, query_str="red fox") == results


async def test_by_name(nodes: list[NodeWithScore]) -> None:
    with serving(lambda _: completion("[3] > [1] > [2]")) as server:
        options = {"base_url": server.url, "api_key": "sk-secret", "timeout": 5}
        rerank = ResiftRerank(model="openai:panda-2", engine_options=options)
        results = rerank.postprocess_nodes(nodes, query_str="red fox")
        assert await rerank.apostprocess_nodes(nodes, query_str="red fox") == results
    assert [node.node for node in results] == [nodes[2].node, nodes[0].node, nodes[1].node]
    assert [headers["authorization"] for headers in server.headers] == ["Bearer sk-secret"] * 2
    assert "sk-secret" not in repr(rerank) + rerank.to_json() + str(rerank.to_dict())
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(rerank)


def test_an_instruction(nodes: list[NodeWithScore]) -> None:
    with serving(lambda _: completion("[3] > [1] > [2]")) as server:
        options = {"base_url": server.url}
        rerank = ResiftRerank(model="openai:m", engine_options=options, instruction="Prefer animals.")
        rerank.postprocess_nodes(nodes, query_str="red fox")
        of_ones_own = ResiftRerank(reranker=Reranker(LlmScorer(Third(max_tokens=9)), instruction="Prefer animals."))
        assert of_ones_own.postprocess_nodes(nodes, query_str="red fox")[0].node is nodes[2].node
    assert "Prefer animals." in server.requests[0]["messages"][0]["content"]
    with pytest.raises(InputError, match="resift:small reads no instruction"):
        ResiftRerank(instruction="Prefer animals.").postprocess_nodes(nodes, query_str="red fox")
