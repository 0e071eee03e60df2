"""The retriever as a tool: what an agent reads, what it is told first, and what a wrong call is answered with."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document

from langchain_resift import ResiftRetriever, search_tool
from resift import InputError, MemoryFirstStage, Passage, Reranker, Scale
from resift.adapters import ANSWERABLE
from resift.testing import OverlapScorer, ScriptedScorer

PASSAGES = [
    Passage("a blue whale", "1", {"path": "sea.md", "section": "Whales", "page": 3}),
    Passage("the red fox", "2", {"source": "wood.txt"}),
    Passage("a red bus", "3"),
]


def tool(scorer: Any = None, **options: Any) -> Any:
    on_error = options.pop("on_error", "raise")
    reranker = Reranker(OverlapScorer() if scorer is None else scorer, on_error=on_error)
    retriever = ResiftRetriever(first_stage=MemoryFirstStage(PASSAGES), reranker=reranker, k=options.pop("k", 3))
    return search_tool(retriever, **options)


def call(question: str) -> dict[str, Any]:
    return {"name": "search", "args": {"question": question}, "id": "1", "type": "tool_call"}


async def test_an_agent_reads_passages_with_relevance_and_source() -> None:
    message = tool(k=2).invoke(call("red fox"))
    assert message.content == "[1] relevance 1.00, wood.txt\nthe red fox\n\n[2] relevance 0.50\na red bus"
    assert [type(document) for document in message.artifact] == [Document, Document]
    assert (await tool(k=2).ainvoke(call("red fox"))).content == message.content
    assert "[1] relevance 1.00, sea.md · Whales · 3\n" in tool(k=1).invoke(call("blue whale")).content


def test_it_is_told_when_nothing_answers() -> None:
    told = tool().invoke(call("green snake")).content
    assert told.startswith(
        "Nothing here is relevant enough: the best has a relevance of 0.00. Don't answer from it.\n\n[1]"
    )
    assert "relevant enough" not in tool(enough=0).invoke(call("green snake")).content
    strict = ResiftRetriever(
        first_stage=MemoryFirstStage(PASSAGES), reranker=Reranker(OverlapScorer()), min_relevance=0.9
    )
    assert search_tool(strict).invoke(call("green snake")).content == "Nothing was found."


def test_it_is_told_when_the_order_is_not_the_models() -> None:
    told = tool(ScriptedScorer(OSError("down")), on_error="keep_order").invoke(call("red fox")).content
    assert told.startswith("The order is not wholly the model's.\n\n[1] ")
    assert "relevance" not in told


def test_numbers_of_another_kind_are_no_relevance() -> None:
    for scores in ([7.0, 9.0, 8.0], [0.03, 0.05, 0.04]):
        told = tool(ScriptedScorer(scores, scale=Scale.SIMILARITY)).invoke(call("red fox")).content
        assert "relevance" not in told
        assert "relevant enough" not in told
    raw = ResiftRetriever(
        first_stage=MemoryFirstStage(PASSAGES), reranker=Reranker(ScriptedScorer([0.01, 0.0, 0.05])), score="raw"
    )
    assert "relevan" not in search_tool(raw).invoke(call("red fox")).content


def test_what_is_enough_is_what_answerable_says() -> None:
    for score, told in ((ANSWERABLE, False), (ANSWERABLE - 0.01, True)):
        scorer = ScriptedScorer([score] * 3, scale=Scale.PROBABILITY)
        assert ("relevant enough" in tool(scorer).invoke(call("red fox")).content) is told


def test_a_wrong_call_is_answered_in_words() -> None:
    message = tool().invoke(call(" "))
    assert (message.status, message.content) == ("error", "the query must be a text with something in it, got ' '")
    failed = tool(ScriptedScorer(OSError("down"))).invoke(call("red fox"))
    assert failed.status == "error"
    assert "down" in failed.content
    with pytest.raises(InputError, match="enough is a relevance, between 0 and 1, got 2"):
        tool(enough=2)
    with pytest.raises(InputError, match="source_keys is one text"):  # whose letters are no keys
        tool(source_keys="path")


def test_a_model_sees_the_name_the_question_and_what_it_is_for() -> None:
    made = tool(name="look_up", description="Looks up.")
    assert (made.name, made.description) == ("look_up", "Looks up.")
    assert list(made.args) == ["question"]
