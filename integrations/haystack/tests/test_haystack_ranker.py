"""The ranker in Haystack: what comes back, alone and in a pipeline, saved and read again, and what is refused."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest
from chat_server import completion, serving
from haystack import Document, Pipeline
from haystack.utils import Secret
from rerank_server import RerankServer

import haystack_integrations.components.rankers.resift as package
from haystack_integrations.components.rankers.resift import ResiftRanker
from resift import InputError, Reranker, Scale, ScorerError
from resift.testing import OverlapScorer, ScriptedScorer


def overlap(**options: Any) -> ResiftRanker:
    return ResiftRanker(reranker=Reranker(OverlapScorer()), **options)


def ids(result: dict[str, list[Document]]) -> list[str]:
    return [document.id for document in result["documents"]]


def test_documents_come_back_as_copies_best_first(documents: list[Document]) -> None:
    before = [document.to_dict() for document in documents]
    result = overlap().run("red fox", documents)["documents"]
    assert [(document.id, document.score) for document in result] == [("fox", 1.0), ("bus", 0.5), ("whale", 0.0)]
    assert result[0].meta == {"source": "wood"}
    assert [document.to_dict() for document in documents] == before
    assert overlap().run("red fox", []) == {"documents": []}


def test_counts_and_thresholds_of_the_ranker_and_of_a_call(documents: list[Document]) -> None:
    ranker = overlap(top_k=2, score_threshold=0.4)
    assert ids(ranker.run("red fox", documents)) == ["fox", "bus"]
    assert ids(ranker.run("red fox", documents, top_k=1)) == ["fox"]
    assert ids(ranker.run("red fox", documents, score_threshold=0.0, top_k=3)) == ["fox", "bus", "whale"]
    assert ids(overlap(top_k=None).run("red fox", documents * 5)) == ["fox"] * 5 + ["bus"] * 5 + ["whale"] * 5


def test_evidence_and_pruning_of_the_reranker_are_on_the_copies() -> None:
    document = Document(content="It rained. A red fox came.", id="a", meta={"title": "Red", "rerank_spans": "old"})
    before = document.to_dict()
    ranker = ResiftRanker(reranker=Reranker(OverlapScorer(), evidence=1, prune=0.5), meta_fields_to_embed=["title"])
    (found,) = ranker.run("red fox", [document])["documents"]
    assert (found.id, found.content) == ("a", "A red fox came.")
    assert found.meta["rerank_spans"] == [[11, 26]]
    assert document.content[11:26] == found.meta["rerank_evidence"][0]["text"] == "A red fox came."
    assert document.to_dict() == before
    (plain,) = overlap().run("red fox", [document])["documents"]
    assert plain.meta == {"title": "Red"}, "places of an earlier step go"


async def test_async_is_the_same(documents: list[Document]) -> None:
    ranker = overlap(top_k=2)
    assert await ranker.run_async("red fox", documents) == ranker.run("red fox", documents)
    await ResiftRanker().warm_up_async()


def test_meta_is_read_with_the_content_and_a_document_without_content_comes_last() -> None:
    documents = [
        Document(id="empty"),
        Document(content="the fox", id="plain"),
        Document(content="x", id="meta", meta={"tags": ["red", "fox"]}),
    ]
    assert ids(overlap(meta_fields_to_embed=["tags", "none"]).run("red fox", documents)) == ["meta", "plain", "empty"]


async def test_in_a_pipeline_saved_and_read_again(documents: list[Document]) -> None:
    pipeline = Pipeline()
    pipeline.add_component("ranker", ResiftRanker(top_k=1, options={"threads": 1}, meta_fields_to_embed=["source"]))
    asked = {"ranker": {"query": "which animal lives in the sea?", "documents": documents}}
    result = pipeline.run(asked)["ranker"]
    assert ids(result) == ["whale"]
    again = Pipeline.loads(pipeline.dumps())
    assert again.run(asked)["ranker"] == result
    assert (await again.run_async(asked))["ranker"] == result


def test_a_key_is_saved_by_the_name_of_its_variable(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with RerankServer("cohere").running() as server:
        key = Secret.from_env_var("MY_KEY")
        ranker = ResiftRanker("cohere:m", api_key=key, options={"base_url": server.url})
        saved = ranker.to_dict()
        assert "sk-secret" not in str(saved)
        assert ids(ResiftRanker.from_dict(saved).run("red fox", documents)) == ["fox", "bus", "whale"]
    assert server.rerank_requests[0].headers["authorization"] == "Bearer sk-secret"


def test_an_instruction_goes_with_a_call(documents: list[Document]) -> None:
    with serving(lambda _: completion("[3] > [2] > [1]")) as server:
        ranker = ResiftRanker("openai:m", options={"base_url": server.url, "instruction": "Prefer animals."})
        result = ranker.run("red fox", documents)["documents"]
        ranker.run("red fox", documents, instruction="Prefer buses.")
    assert [document.score for document in result] == [3, 2, 1], "the model's own: an order has no relevance"
    systems = [request["messages"][0]["content"] for request in server.requests]
    assert ["animals" in system for system in systems] == [True, False]
    with pytest.raises(InputError, match="overlap reads no instruction"):
        overlap().run("red fox", documents, instruction="Prefer buses.")


def test_a_failing_model_is_an_error_or_the_given_order_flagged(documents: list[Document]) -> None:
    broken = ScriptedScorer(OSError("down"))
    with pytest.raises(ScorerError, match="down"):
        ResiftRanker(reranker=Reranker(broken)).run("q", documents)
    kept = ResiftRanker(reranker=Reranker(broken, on_error="keep_order")).run("q", documents)["documents"]
    assert [(document.id, document.score) for document in kept] == [("whale", None), ("bus", None), ("fox", None)]
    assert all(document.meta["rerank_degraded"] for document in kept)
    assert "rerank_degraded" not in overlap().run("red fox", kept)["documents"][0].meta


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k must be a whole number from 1"),
        ({"top_k": True}, "top_k must be"),
        ({"score_threshold": 1.5}, "score_threshold must lie between 0 and 1"),
        ({"options": {"top_k": 3}}, r"options has top_k: say ResiftRanker\(top_k=...\)"),
        ({"reranker": Reranker(OverlapScorer()), "model": "resift:tiny"}, "not beside reranker="),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResiftRanker(**options)


def test_calls_that_make_no_sense_are_refused(documents: list[Document]) -> None:
    for query in ("", " \n", None):
        with pytest.raises(InputError, match="the query must be a text"):
            overlap().run(query, documents)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="top_k must be"):
        overlap().run("red fox", documents, top_k=0)
    with pytest.raises(InputError, match="can't be saved"):
        overlap().to_dict()
    similarity = Reranker(OverlapScorer(scale=Scale.SIMILARITY))
    with pytest.raises(InputError, match="can't be used with overlap"):
        ResiftRanker(reranker=similarity, score_threshold=0.5).run("red fox", documents)
    with pytest.raises(InputError, match="meta_fields_to_embed is one text"):  # whose letters are no fields
        ResiftRanker(meta_fields_to_embed="title")
    with pytest.raises(InputError, match="has no option wheels"):
        ResiftRanker(options={"wheels": 4}).warm_up()


def test_many_calls_at_once_load_one_model(documents: list[Document]) -> None:
    async def ask() -> list[Any]:
        ranker = ResiftRanker(top_k=1)
        return await asyncio.gather(*(ranker.run_async("red fox", documents) for _ in range(20)))

    assert [ids(result) for result in asyncio.run(ask())] == [["fox"]] * 20


def test_the_package_says_what_it_needs() -> None:
    folder = Path(package.__file__).parent
    project = tomllib.loads((folder.parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == ["haystack-ai>=3,<4", "resift>=0.1,<0.2"]
    assert not list(folder.parents[2].glob("__init__.py"))
    assert (folder / "py.typed").exists()
