"""Evidence and pruning in LlamaIndex: on copies of nodes, under documented keys that no LLM and no embedder reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from llama_index.core.schema import Document, MetadataMode, NodeWithScore, TextNode

from llama_index.postprocessor.resift import ResiftRerank
from resift import Reranker
from resift.testing import OverlapScorer, ScriptedScorer

TEXT = "It rained. A grey fox came. It left."


def rerank(node: TextNode | Document, query: str = "grey fox", **options: object) -> TextNode:
    step = ResiftRerank(reranker=Reranker(OverlapScorer()), **options)  # type: ignore[arg-type]  # any option
    (found,) = step.postprocess_nodes([NodeWithScore(node=node, score=0.1)], query_str=query)
    return found.node  # type: ignore[return-value]  # both have a text


@pytest.fixture
def node() -> TextNode:
    return TextNode(text=TEXT, id_="fox", metadata={"title": "fox"}, excluded_llm_metadata_keys=["title"])


def test_evidence_is_on_a_copy_with_places_in_the_text(node: TextNode) -> None:
    before = node.model_copy(deep=True)
    found = rerank(node, evidence=True)
    assert node == before
    assert found.metadata["rerank_evidence"] == [
        {"text": "A grey fox came.", "start": 11, "end": 27, "score": 1.0, "relevance": 1.0}
    ]
    assert (found.id_, found.text, found.metadata["title"]) == ("fox", TEXT, "fox")


@pytest.mark.parametrize("mode", [MetadataMode.LLM, MetadataMode.EMBED])
def test_no_llm_and_no_embedder_reads_it(node: TextNode, mode: MetadataMode) -> None:
    found = rerank(node, evidence=1, prune=0.5)
    assert found.get_content(metadata_mode=mode) == node.get_content(metadata_mode=mode).replace(
        TEXT, "A grey fox came."
    )
    assert node.excluded_llm_metadata_keys == ["title"]


@pytest.mark.parametrize("kind", [TextNode, Document])
def test_pruning_gives_a_shorter_copy(kind: type[TextNode] | type[Document]) -> None:
    node = kind(text=TEXT, id_="fox")
    found = rerank(node, prune=0.5)
    assert (found.text, found.id_, type(found)) == ("A grey fox came.", "fox", kind)
    assert found.metadata["rerank_spans"] == [[11, 27]]
    assert node.text == TEXT
    assert node.metadata == {}


def test_off_by_default_the_node_is_the_same_object(node: TextNode) -> None:
    assert rerank(node) is node


async def test_awaited(node: TextNode) -> None:
    step = ResiftRerank(reranker=Reranker(OverlapScorer(), evidence=1))
    assert step.evidence == 1
    (found,) = await step.apostprocess_nodes([NodeWithScore(node=node)], query_str="fox")
    assert found.node.metadata["rerank_evidence"][0]["start"] == 11


def test_a_model_that_fails_prunes_nothing(node: TextNode) -> None:
    failing = Reranker(ScriptedScorer(ConnectionError("down")), on_error="keep_order")
    step = ResiftRerank(reranker=failing, evidence=1, prune=0.5)
    (found,) = step.postprocess_nodes([NodeWithScore(node=node, score=0.1)], query_str="fox")
    assert found.node is node


def test_reranked_twice_the_sentences_of_before_are_not_kept(node: TextNode) -> None:
    again = rerank(rerank(node, evidence=2), prune=0.5)
    assert "rerank_evidence" not in again.metadata


def test_the_model_does_not_read_the_sentences_of_before(node: TextNode) -> None:
    asked: list[str] = []

    class Keeping(OverlapScorer):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            asked.extend(documents)
            return super().score(query, documents)

    first = rerank(node, evidence=1, prune=0.5)
    step = ResiftRerank(reranker=Reranker(Keeping()), metadata_mode=MetadataMode.ALL)
    step.postprocess_nodes([NodeWithScore(node=first)], query_str="fox")
    assert asked == ["title: fox\n\nA grey fox came."]
