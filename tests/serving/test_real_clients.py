"""Clients that were written for other services, as people have them in their code: only the address changes."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from service_over_http import listening

from resift.serving.service import RerankService
from resift.testing import OverlapScorer

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # before it is imported

QUERY = "red fox"
DOCUMENTS = ["a whale", "a fox", "a red fox"]
Ranked = list[tuple[str, float]]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(RerankService(OverlapScorer(), batch_tokens=1000, waiting_tokens=10_000)) as address:
        yield address


def cohere_v2(url: str) -> Ranked:
    import cohere

    client = cohere.ClientV2("none", base_url=url)
    answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS, top_n=2)
    return [(DOCUMENTS[result.index], result.relevance_score) for result in answer.results]


def cohere_v1(url: str) -> Ranked:
    import cohere

    client = cohere.Client("none", base_url=url)
    answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS, top_n=2, return_documents=True)
    return [(result.document.text, result.relevance_score) for result in answer.results]


def langchain_cohere(url: str) -> Ranked:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    rerank = CohereRerank(model="rerank-v3.5", cohere_api_key="none", base_url=url, top_n=2)
    documents = rerank.compress_documents([Document(text) for text in DOCUMENTS], QUERY)
    return [(document.page_content, document.metadata["relevance_score"]) for document in documents]


def nodes() -> list[Any]:
    from llama_index.core.schema import NodeWithScore, TextNode

    return [NodeWithScore(node=TextNode(text=text)) for text in DOCUMENTS]


def llama_index_cohere(url: str) -> Ranked:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    rerank = CohereRerank(api_key="none", model="rerank-v3.5", base_url=url, top_n=2)
    return [(node.text, node.score) for node in rerank.postprocess_nodes(nodes(), query_str=QUERY)]


def llama_index_tei(url: str) -> Ranked:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    rerank = TextEmbeddingInference(base_url=url, top_n=2)
    return [(node.text, node.score) for node in rerank.postprocess_nodes(nodes(), query_str=QUERY)]


def haystack_cohere(url: str) -> Ranked:
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    ranker = CohereRanker(api_base_url=url, api_key=Secret.from_token("none"), model="rerank-v3.5", top_k=2)
    documents = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])["documents"]
    return [(document.content, document.score) for document in documents]


CLIENTS = [cohere_v2, cohere_v1, langchain_cohere, llama_index_cohere, llama_index_tei, haystack_cohere]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some leave their connections open
@pytest.mark.parametrize("rank", CLIENTS)
def test_it_ranks_as_our_own_scorer(url: str, rank: Callable[[str], Ranked]) -> None:
    expected = OverlapScorer().score(QUERY, DOCUMENTS)
    assert rank(url) == [("a red fox", expected[2]), ("a fox", pytest.approx(expected[1]))]
    gc.collect()  # here, where the warning is expected
