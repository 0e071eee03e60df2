from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from langchain_resift import ResiftRerank
from langchain_resift import _reranking as reranking
from resift import Fallback, InputError, Reranker, Scale, ScorerError, TruncationWarning, UnknownModelError
from resift.testing import OverlapScorer, ScriptedScorer


def overlap(**fields: Any) -> ResiftRerank:
    return ResiftRerank(reranker=Reranker(OverlapScorer()), **fields)


def scripted(scores: Any, on_error: Any = "raise", scale: Scale = Scale.PROBABILITY, **fields: Any) -> ResiftRerank:
    return ResiftRerank(reranker=Reranker(ScriptedScorer(scores, scale=scale), on_error=on_error), **fields)


def ids(documents: Sequence[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_best_first_with_scores_and_everything_else_kept(documents: list[Document]) -> None:
    results = overlap().compress_documents(documents, "red fox")
    assert ids(results) == ["fox", "bus", "whale"]
    assert [document.metadata for document in results] == [
        {"source": "wood.txt", "relevance_score": 1.0},
        {"source": "town.txt", "relevance_score": 0.5},
        {"source": "sea.txt", "relevance_score": 0.0},
    ]


async def test_a_stand_in_answers_and_is_flagged(documents: list[Document]) -> None:
    service = ScriptedScorer(OSError("no route to host"), name="service")
    compressor = ResiftRerank(reranker=Reranker(Fallback([service, OverlapScorer()])), top_n=1)
    for results in (
        compressor.compress_documents(documents, "red fox"),
        await compressor.acompress_documents(documents, "red fox"),
    ):
        assert ids(results) == ["fox"]
        assert results[0].metadata == {"source": "wood.txt", "relevance_score": 1.0, "rerank_degraded": True}


def test_the_bundled_model_needs_no_arguments(bundled: Reranker) -> None:
    panda, stocks = Document("Pandas eat bamboo.", id="panda"), Document("Stocks fell on Monday.", id="stocks")
    results = ResiftRerank(reranker=bundled).compress_documents([stocks, panda], "what eats bamboo?")
    assert ids(results) == ["panda", "stocks"]
    assert 1 >= results[0].metadata["relevance_score"] > results[1].metadata["relevance_score"] >= 0


def test_what_goes_in_is_left_as_it_was(documents: list[Document]) -> None:
    before = copy.deepcopy(documents)
    results = overlap().compress_documents(documents, "red fox")
    results[0].metadata["mine"] = True
    assert documents == before


def test_a_document_class_of_ones_own_survives() -> None:
    class Page(Document):
        number: int

    (document,) = overlap().compress_documents([Page(page_content="red", number=7)], "red")
    assert isinstance(document, Page)
    assert document.number == 7


def test_a_stale_score_and_flag_are_replaced(documents: list[Document]) -> None:
    stale = [
        doc.model_copy(update={"metadata": {"relevance_score": 99.0, "rerank_degraded": True}}) for doc in documents
    ]
    results = overlap(top_n=1).compress_documents(stale, "red fox")
    assert results[0].metadata == {"relevance_score": 1.0}


def test_ties_keep_the_order_they_came_in() -> None:
    tied = [Document("red", id=str(index)) for index in range(20)]
    assert ids(overlap(top_n=None).compress_documents(tied, "red")) == [str(index) for index in range(20)]


@pytest.mark.parametrize(("top_n", "kept"), [(1, 1), (2, 2), (3, 3), (9, 5), (None, 5)])
def test_top_n(top_n: int | None, kept: int) -> None:
    assert len(overlap(top_n=top_n).compress_documents([Document("red")] * 5, "red")) == kept


def test_three_are_kept_unless_said_otherwise() -> None:
    assert len(overlap().compress_documents([Document("red")] * 5, "red")) == 3


@pytest.mark.parametrize("top_n", [0, -1])
def test_a_top_n_that_keeps_nothing_is_refused(top_n: int) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        ResiftRerank(top_n=top_n)


def test_top_n_decides_also_where_the_reranker_has_a_top_k() -> None:
    reranker = Reranker(OverlapScorer(), top_k=1)
    for top_n, kept in ((2, 2), (None, 5)):
        results = ResiftRerank(reranker=reranker, top_n=top_n).compress_documents([Document("red")] * 5, "red")
        assert len(results) == kept


def test_min_relevance(documents: list[Document]) -> None:
    assert ids(overlap(min_relevance=0.5).compress_documents(documents, "red fox")) == ["fox", "bus"]
    assert ids(overlap(min_relevance=0.0).compress_documents(documents, "red fox")) == ["fox", "bus", "whale"]


def test_a_floor_of_the_reranker_applies_until_another_is_said(documents: list[Document]) -> None:
    strict = Reranker(OverlapScorer(), min_relevance=0.9)
    assert ids(ResiftRerank(reranker=strict).compress_documents(documents, "red fox")) == ["fox"]
    assert len(ResiftRerank(reranker=strict, min_relevance=0.0).compress_documents(documents, "red fox")) == 3


@pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan")])
def test_an_impossible_floor_is_refused(floor: float) -> None:
    with pytest.raises(ValidationError):
        ResiftRerank(min_relevance=floor)


def test_a_scale_without_relevance_gives_its_own_score_and_takes_no_floor(documents: list[Document]) -> None:
    results = scripted([1.0, 30.0, 20.0], scale=Scale.SIMILARITY).compress_documents(documents, "red fox")
    assert [document.metadata["relevance_score"] for document in results] == [30.0, 20.0, 1.0]
    with pytest.raises(InputError, match="use top_k"):
        scripted([1.0, 30.0, 20.0], scale=Scale.SIMILARITY, min_relevance=0.5).compress_documents(documents, "fox")


def test_logits_become_relevance(documents: list[Document]) -> None:
    results = scripted([-100.0, 0.0, 100.0], scale=Scale.LOGIT).compress_documents(documents, "red fox")
    assert [document.metadata["relevance_score"] for document in results] == pytest.approx([1.0, 0.5, 0.0])


@pytest.mark.parametrize("bad", [[0.1, float("nan"), 0.3], [0.1, 0.2], RuntimeError("down")])
def test_unusable_scores_raise(documents: list[Document], bad: Any) -> None:
    with pytest.raises(ScorerError, match="scripted"):
        scripted(bad).compress_documents(documents, "red fox")


@pytest.mark.parametrize("bad", [[0.1, float("nan"), 0.3], [0.1, 0.2], RuntimeError("down")])
def test_a_degraded_ranking_is_flagged_and_has_no_score(documents: list[Document], bad: Any) -> None:
    scored_before = [doc.model_copy(update={"metadata": {"relevance_score": 9.0}}) for doc in documents]
    results = scripted(bad, on_error="keep_order", top_n=2).compress_documents(scored_before, "red fox")
    assert ids(results) == ["whale", "bus"]
    assert [document.metadata for document in results] == [{"rerank_degraded": True}] * 2


def test_on_error_without_a_reranker_of_ones_own(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ScriptedScorer(RuntimeError("down"))
    monkeypatch.setattr(reranking, "Reranker", lambda model, **options: Reranker(broken, **options))
    assert ResiftRerank(on_error="keep_order").compress_documents(documents, "fox")[0].metadata["rerank_degraded"]
    with pytest.raises(ScorerError):
        ResiftRerank().compress_documents(documents, "fox")


def test_nothing_in_nothing_out_and_no_model_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "Reranker", None)
    assert ResiftRerank().compress_documents([], "red fox") == []


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query_is_refused(documents: list[Document], query: str) -> None:
    with pytest.raises(InputError, match="query"):
        overlap().compress_documents(documents, query)


def test_metadata_can_be_scored_with_the_text() -> None:
    scorer = ScriptedScorer([0.1, 0.2])
    titled = [
        Document("first text", metadata={"title": "Foxes", "year": 1900, "note": None}),
        Document("second text", metadata={"year": 0}),
    ]
    step = ResiftRerank(reranker=Reranker(scorer), metadata_keys=["title", "year", "note", "missing"])
    results = step.compress_documents(titled, "red fox")
    assert scorer.calls[0].documents == ("Foxes\n1900\nfirst text", "0\nsecond text")
    assert [document.page_content for document in results] == ["second text", "first text"]


def test_a_list_in_the_metadata_is_read_as_its_items() -> None:
    scorer = ScriptedScorer([0.1, 0.2, 0.3])
    tagged = [
        Document("first", metadata={"tags": ["red", "it's blue"], "years": (1900, 1901)}),
        Document("second", metadata={"tags": [], "years": {"b", "a"}}),
        Document("third", metadata={"tags": "red"}),
    ]
    step = ResiftRerank(reranker=Reranker(scorer), metadata_keys=["tags", "years"], top_n=None)
    results = step.compress_documents(tagged, "red fox")
    assert scorer.calls[0].documents == ("red, it's blue\n1900, 1901\nfirst", "a, b\nsecond", "red\nthird")
    assert results[-1].metadata["tags"] == ["red", "it's blue"]


def test_metadata_stays_json(bundled: Reranker) -> None:
    results = ResiftRerank(reranker=bundled).compress_documents([Document("Pandas eat bamboo.")], "what eats bamboo?")
    metadata = results[0].metadata
    assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata
    assert type(metadata["relevance_score"]) is float


@pytest.mark.parametrize("argument", ["top_k", "base_url", "modle"])
def test_arguments_it_does_not_have_are_refused(argument: str) -> None:
    wrong: dict[str, Any] = {argument: 1}
    with pytest.raises(ValidationError, match=f"no option {argument}"):
        ResiftRerank(**wrong)


@pytest.mark.parametrize("beside", [{"model": "x"}, {"long_documents": "truncate"}, {"engine_options": {"threads": 1}}])
def test_options_beside_a_reranker_are_refused(beside: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="go to Reranker"):
        overlap(**beside)


def test_long_documents_is_said_once() -> None:
    with pytest.raises(ValidationError, match="twice"):
        ResiftRerank(long_documents="truncate", engine_options={"long_documents": "truncate"})


def test_a_reranker_must_be_one() -> None:
    with pytest.raises(ValidationError, match="Reranker"):
        ResiftRerank(reranker=OverlapScorer())  # type: ignore[arg-type]


def test_an_unknown_model_shows_with_the_first_use(documents: list[Document]) -> None:
    step = ResiftRerank(model="no such model")
    with pytest.raises(UnknownModelError, match="no such model"):
        step.compress_documents(documents, "fox")
    with pytest.raises(UnknownModelError):
        step.load()


def test_engine_options_reach_the_engine_which_checks_them(documents: list[Document]) -> None:
    with pytest.raises(InputError, match="wheels"):
        ResiftRerank(engine_options={"wheels": 4}).compress_documents(documents, "fox")
    long = [Document("word " * 2000)]
    options = {"threads": 1, "max_length": 32}
    with pytest.warns(TruncationWarning):
        ResiftRerank(engine_options=options, long_documents="truncate").compress_documents(long, "fox")
    ResiftRerank(engine_options=options, long_documents="first_window").compress_documents(long, "fox")  # no warning


def test_copies_with_other_options_load_another_reranker(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []

    def build(model: Any, **options: Any) -> Reranker:
        built.append(model)
        return Reranker(OverlapScorer(), **options)

    monkeypatch.setattr(reranking, "Reranker", build)
    step = ResiftRerank(model="one")
    first = step.load()
    assert step.load() is step.model_copy(update={"top_n": 9}).load() is first
    assert step.model_copy(update={"model": "two"}).load() is not first
    assert built == ["one", "two"]


class Stuck:
    """Stands still until the test is over."""

    name, scale = "stuck", Scale.LOGIT

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        self.go_on.wait(60)
        return [0.0] * len(documents)


async def test_a_deadline_leaves_the_rest_in_its_order_flagged(documents: list[Document]) -> None:
    scorer = Stuck()
    step = ResiftRerank(reranker=Reranker(scorer), deadline=0.1)
    results = [step.compress_documents(documents, "fox"), await step.acompress_documents(documents, "fox")]
    scorer.go_on.set()
    for kept in results:
        assert ids(kept) == ids(documents)
        assert all(document.metadata["rerank_degraded"] for document in kept)
        assert not any("relevance_score" in document.metadata for document in kept)
    with pytest.raises(ValidationError, match="greater than 0"):
        ResiftRerank(deadline=0)


def test_a_cache_goes_to_the_reranker(documents: list[Document]) -> None:
    step = ResiftRerank(cache=":memory:")
    for _ in range(2):
        step.compress_documents(documents, "red fox")
    texts = [document.page_content for document in documents]
    assert step.load().rank("red fox", texts).stats.cache_hits == len(set(texts))
    with pytest.raises(ValidationError, match="cache: options of the model go to Reranker"):
        overlap(cache=":memory:")


def test_dumps_hold_the_options_alone(bundled: Reranker) -> None:
    step = ResiftRerank(reranker=bundled, top_n=None, min_relevance=0.5, metadata_keys=["title"])
    assert json.loads(step.model_dump_json()) == {
        "model": None,
        "min_relevance": 0.5,
        "deadline": None,
        "score": "relevance",
        "evidence": None,
        "prune": None,
        "metadata_keys": ["title"],
        "on_error": "raise",
        "max_pending": 1024,
        "patience": None,
        "cache": None,
        "calibration": None,
        "long_documents": None,
        "max_length": None,
        "batch_tokens": None,
        "threads": None,
        "keep_states": None,
        "states_file": None,
        "device": None,
        "instruction": None,
        "revision": None,
        "local_files_only": None,
        "trust_remote_code": None,
        "engine_options": {},
        "top_n": None,
    }
    assert ResiftRerank.model_validate_json(step.model_dump_json()).min_relevance == 0.5
    assert "Reranker(" not in repr(step)


def test_pickles_used_or_not(documents: list[Document]) -> None:
    fresh = ResiftRerank(top_n=1, engine_options={"threads": 1})
    used = fresh.model_copy(deep=True)
    expected = used.compress_documents(documents, "red fox")
    for step in (fresh, used, copy.deepcopy(used), overlap(top_n=1)):
        again = pickle.loads(pickle.dumps(step))
        assert again.top_n == 1
        assert ids(again.compress_documents(documents, "red fox")) == ids(expected) == ["fox"]


def store_of(documents: list[Document]) -> InMemoryVectorStore:
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents)
    return store


async def test_in_contextual_compression(documents: list[Document]) -> None:
    chain = ContextualCompressionRetriever(
        base_compressor=overlap(top_n=2), base_retriever=store_of(documents).as_retriever()
    )
    assert ids(chain.invoke("red fox")) == ids(await chain.ainvoke("red fox")) == ["fox", "bus"]


async def test_in_a_compressor_pipeline(documents: list[Document]) -> None:
    pipeline = DocumentCompressorPipeline(transformers=[overlap(top_n=2), scripted([0.1, 0.7], top_n=1)])
    results = pipeline.compress_documents(documents, "red fox")
    assert ids(results) == ids(await pipeline.acompress_documents(documents, "red fox")) == ["bus"]
    assert results[0].metadata["relevance_score"] == 0.7  # the last stage's, not the first's


async def test_as_a_runnable(documents: list[Document]) -> None:
    chain = {"query": RunnableLambda(str.strip), "documents": RunnableLambda(lambda _: documents)} | (
        overlap(top_n=1).as_runnable()
    )
    assert ids(chain.invoke(" red fox ")) == ids(await chain.ainvoke(" red fox ")) == ["fox"]
    assert [ids(results) for results in chain.batch(["red fox", "blue whale"])] == [["fox"], ["whale"]]
    assert [ids(results) for results in await chain.abatch(["red fox", "blue whale"])] == [["fox"], ["whale"]]
    assert [ids(results) for results in chain.stream("blue whale")] == [["whale"]]
    assert [ids(results) async for results in chain.astream("blue whale")] == [["whale"]]


def test_the_runnable_ignores_what_else_a_chain_carries(documents: list[Document]) -> None:
    given: Any = {"query": "red fox", "documents": documents, "history": ["hello"]}
    assert ids(overlap(top_n=1).as_runnable().invoke(given)) == ["fox"]


@pytest.mark.parametrize("given", [{"query": "red fox"}, {"documents": []}, "red fox", {"query": "q", "documents": 3}])
def test_the_runnable_says_what_it_takes(given: Any) -> None:
    with pytest.raises(InputError, match=r"takes \{'query'"):
        overlap().as_runnable().invoke(given)


def test_the_runnable_has_a_schema() -> None:
    runnable = ResiftRerank().as_runnable()
    schema = runnable.get_input_jsonschema()
    assert set(schema["$defs"]["RerankInput"]["properties"]) == {"query", "documents"}
    assert runnable.get_name() == "ResiftRerank"
