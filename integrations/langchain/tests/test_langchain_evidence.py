"""Evidence and pruning in LangChain: on copies, under documented keys, off unless asked for."""

from __future__ import annotations

import json

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_resift import ResiftEmbeddings, ResiftRerank, ResiftRetriever
from resift import Reranker
from resift.testing import OverlapScorer, ScriptedScorer

CONTENT = "It rained. A grey fox came. It left."


def step(**options: object) -> ResiftRerank:
    return ResiftRerank(reranker=Reranker(OverlapScorer()), **options)  # type: ignore[arg-type]  # any option


@pytest.fixture
def document() -> Document:
    return Document(CONTENT, id="fox", metadata={"title": "fox", "page": 3})


@pytest.mark.parametrize("awaited", [False, True])
async def test_evidence_is_on_a_copy_with_places_in_the_content(document: Document, awaited: bool) -> None:
    before = document.model_copy(deep=True)
    asked = step(evidence=True, metadata_keys=["title"])
    if awaited:
        (found,) = await asked.acompress_documents([document], "fox")
    else:
        (found,) = asked.compress_documents([document], "fox")
    assert document == before
    assert found.metadata["rerank_evidence"] == [
        {"text": "A grey fox came.", "start": 11, "end": 27, "score": 1.0, "relevance": 1.0}
    ]
    assert (found.page_content, found.id, found.metadata["page"]) == (CONTENT, "fox", 3)
    assert "rerank_spans" not in found.metadata
    assert json.dumps(found.metadata)


def test_pruning_gives_a_shorter_copy(document: Document) -> None:
    (found,) = step(prune=0.5).compress_documents([document], "grey fox")
    assert (found.page_content, found.id) == ("A grey fox came.", "fox")
    assert found.metadata["rerank_spans"] == [[11, 27]]
    assert "rerank_evidence" not in found.metadata
    assert document.page_content == CONTENT


def test_off_by_default_and_keys_of_an_earlier_step_are_replaced(document: Document) -> None:
    (plain,) = step().compress_documents([document], "fox")
    assert not {"rerank_evidence", "rerank_spans"} & set(plain.metadata)
    (first,) = step(evidence=1, prune=0.5).compress_documents([document], "fox")
    (again,) = step().compress_documents([first], "fox")
    assert not {"rerank_evidence", "rerank_spans"} & set(again.metadata)


def test_a_reranker_of_ones_own_brings_its_choice(document: Document) -> None:
    own = ResiftRerank(reranker=Reranker(OverlapScorer(), evidence=2))
    assert len(own.compress_documents([document], "fox")[0].metadata["rerank_evidence"]) == 2


def test_the_retriever_has_both() -> None:
    store = InMemoryVectorStore.from_texts([CONTENT, "A whale swam."], ResiftEmbeddings())
    retriever = ResiftRetriever(first_stage=store, reranker=Reranker(OverlapScorer()), k=1, evidence=1, prune=0.5)
    (found,) = retriever.invoke("grey fox")
    assert found.page_content == "A grey fox came."
    assert found.metadata["rerank_evidence"][0]["start"] == 11
    assert found.metadata["first_stage_rank"] == 1


def test_a_model_that_fails_prunes_nothing(document: Document) -> None:
    failing = Reranker(ScriptedScorer(ConnectionError("down")), on_error="keep_order")
    (found,) = ResiftRerank(reranker=failing, evidence=1, prune=0.5).compress_documents([document], "fox")
    assert found.page_content == CONTENT
    assert found.metadata["rerank_degraded"] is True
    assert not {"rerank_evidence", "rerank_spans"} & set(found.metadata)


def test_impossible_values() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1"):
        step(prune=2)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        step(evidence=-1)
    with pytest.raises(ValueError, match="did you mean evidence="):
        step(evidense=1)
    with pytest.raises(ValueError, match="no option explain: say evidence="):
        step(explain=True)
