"""What was cut is said once per line of the user's, through LlamaIndex's engines and tasks too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cutting import LONG, CuttingScorer, shown_by_default
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.postprocessor.resift import ResiftRerank
from resift import Reranker, TruncationWarning


@pytest.fixture(scope="module")
def rerank() -> Iterator[ResiftRerank]:
    with Reranker(CuttingScorer()) as cutting:
        yield ResiftRerank(reranker=cutting)


def long(count: int) -> list[TextNode]:
    return [TextNode(text="abc"), *(TextNode(text=f"{LONG} {number}") for number in range(count))]


async def test_a_postprocessor_warns_once_at_its_line(rerank: ResiftRerank) -> None:
    with shown_by_default(globals()) as caught:
        for count in (1, 2, 3):
            rerank.postprocess_nodes([NodeWithScore(node=node) for node in long(count)], query_str="q")
            await rerank.apostprocess_nodes([NodeWithScore(node=node) for node in long(count)], query_str="q")
    assert [(warning.category, warning.filename) for warning in caught] == [(TruncationWarning, __file__)] * 2


async def test_so_does_a_query_engine(rerank: ResiftRerank) -> None:
    index = VectorStoreIndex(long(4), embed_model=MockEmbedding(4))
    engine = index.as_query_engine(llm=MockLLM(), node_postprocessors=[rerank], similarity_top_k=3)
    with shown_by_default(globals()) as caught:
        for question in ("a", "b"):
            engine.query(question)
            await engine.aquery(question)
    warned = [warning.filename for warning in caught if warning.category is TruncationWarning]
    assert warned == [__file__] * 2
