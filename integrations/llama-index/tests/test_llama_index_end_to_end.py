"""The whole pipeline, offline: Chroma, the bundled bi-encoder, the bundled cross-encoder, and what the LLM reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import chromadb
import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import TextNode
from llama_index.vector_stores.chroma import ChromaVectorStore

from llama_index.embeddings.resift import ResiftEmbedding
from llama_index.postprocessor.resift import ResiftRerank
from resift import Reranker

QUERY = "How long do I have to return something I bought?"
RIGHT = "Purchases may be sent back within thirty days for a full refund."
PASSAGES = {
    "opening": "The shop opens at nine and closes at six, every day but Sunday.",
    "bought": "Something that many customers bought last year was a long red scarf.",
    "parking": "Parking is free for two hours behind the building.",
    "refund": RIGHT,
    "history": "The company was founded in 1954 by two sisters from Turin.",
    "gift": "Gift cards can be bought at the counter and have no expiry date.",
}


@pytest.fixture(scope="module")
def index() -> Iterator[VectorStoreIndex]:
    client = chromadb.EphemeralClient()
    collection = client.create_collection("llama-index-end-to-end", configuration={"hnsw": {"space": "cosine"}})
    storage = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=collection))
    nodes = [TextNode(text=text, id_=name) for name, text in PASSAGES.items()]
    yield VectorStoreIndex(nodes, storage_context=storage, embed_model=ResiftEmbedding())
    client.delete_collection("llama-index-end-to-end")


@pytest.fixture
def retriever(index: VectorStoreIndex) -> BaseRetriever:
    return index.as_retriever(similarity_top_k=len(PASSAGES))


@pytest.fixture
def rerank(bundled: Reranker) -> ResiftRerank:
    return ResiftRerank(reranker=bundled, top_n=1)


def prompts(events: Any) -> str:
    """Everything the LLM was given to read."""
    completions = [event.prompt for event in events.named("LLMCompletionStartEvent")]
    chats = [str(message) for event in events.named("LLMChatStartEvent") for message in event.messages]
    return "\n".join(completions + chats)


def assert_only_the_right_passage(read: str) -> None:
    assert RIGHT in read
    assert not [text for text in PASSAGES.values() if text != RIGHT and text in read]


def test_without_reranking_the_first_stage_is_what_it_is(retriever: BaseRetriever) -> None:
    """The stage for the tests below: the right passage is among the candidates, and not the first."""
    results = [hit.node_id for hit in retriever.retrieve(QUERY)]
    assert set(results) == set(PASSAGES)
    assert results[0] != "refund"


def test_a_query_engine_gives_the_llm_the_right_passage(
    retriever: BaseRetriever, rerank: ResiftRerank, events: Any
) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[rerank])
    answer = engine.query(QUERY)
    assert [hit.node_id for hit in answer.source_nodes] == ["refund"]
    assert_only_the_right_passage(prompts(events))
    assert events.rerank == ["ReRankStartEvent", "ReRankEndEvent"]


async def test_and_so_it_does_async(retriever: BaseRetriever, rerank: ResiftRerank, events: Any, spans: Any) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[rerank])
    answer = await engine.aquery(QUERY)
    assert [hit.node_id for hit in answer.source_nodes] == ["refund"]
    assert_only_the_right_passage(prompts(events))
    assert ("ResiftRerank._apostprocess_nodes", "exit") in spans.ended


def test_the_index_makes_such_an_engine_in_one_line(index: VectorStoreIndex, rerank: ResiftRerank) -> None:
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=6, node_postprocessors=[rerank])
    assert RIGHT in str(engine.query(QUERY))  # MockLLM answers with its prompt


def test_a_cutoff_after_it_drops_the_rest_and_keeps_the_right_one(retriever: BaseRetriever, bundled: Reranker) -> None:
    """The complaint of run-llama/llama_index#18518: raw logits made a cutoff drop everything."""
    results = ResiftRerank(reranker=bundled, top_n=None).postprocess_nodes(retriever.retrieve(QUERY), query_str=QUERY)
    best = results[0].score
    assert best is not None
    assert 0.0 <= best <= 1.0
    kept = SimilarityPostprocessor(similarity_cutoff=best).postprocess_nodes(results)
    assert kept[0].node_id == "refund"


@pytest.mark.parametrize("engine", [ContextChatEngine, CondensePlusContextChatEngine])
async def test_chat_engines_read_the_right_passage(
    engine: Any, retriever: BaseRetriever, rerank: ResiftRerank, events: Any
) -> None:
    def fresh() -> Any:
        memory = ChatMemoryBuffer.from_defaults(token_limit=3000)
        return engine.from_defaults(retriever=retriever, llm=MockLLM(), memory=memory, node_postprocessors=[rerank])

    assert [hit.node_id for hit in fresh().chat(QUERY).source_nodes] == ["refund"]
    assert_only_the_right_passage(prompts(events))
    events.seen.clear()
    assert [hit.node_id for hit in (await fresh().achat(QUERY)).source_nodes] == ["refund"]
    assert_only_the_right_passage(prompts(events))


async def test_the_evaluator_sees_the_difference(retriever: BaseRetriever, rerank: ResiftRerank) -> None:
    plain = RetrieverEvaluator.from_metric_names(["mrr"], retriever=retriever)
    reranked = RetrieverEvaluator.from_metric_names(["mrr"], retriever=retriever, node_postprocessors=[rerank])
    before = await plain.aevaluate(QUERY, expected_ids=["refund"])
    after = await reranked.aevaluate(QUERY, expected_ids=["refund"])
    assert before.metric_vals_dict["mrr"] < after.metric_vals_dict["mrr"] == 1.0
