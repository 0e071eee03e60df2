"""Options: named as in the other adapter, each said in one place; wrong names are answered with the right ones."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

from langchain_resift import ResiftCrossEncoder, ResiftEmbeddings, ResiftRerank, ResiftRetriever
from langchain_resift import _reranking as reranking
from resift import InputError, MemoryFirstStage, OverloadedError, Reranker, Scale
from resift.adapters import OPTIONS, ModelOptions
from resift.testing import OverlapScorer, ScriptedScorer

OWN: dict[str, Any] = {
    "model": "resift:small",
    "on_error": "keep_order",
    "max_pending": 7,
    "patience": 5,
    "cache": ":memory:",
    "calibration": "calibration.json",
    "long_documents": "max_window",
    "max_length": 128,
    "batch_tokens": 4096,
    "threads": 1,
    "keep_states": 1000,
    "states_file": "states.sqlite3",
    "device": "cpu",
    "instruction": "find animals",
    "revision": "main",
    "local_files_only": True,
    "trust_remote_code": False,
}
FIRST_STAGE = MemoryFirstStage(["a blue whale", "a red bus", "the red fox"])


def rerank(**options: Any) -> Any:
    return ResiftRerank(**options)


def retrieve(**options: Any) -> Any:
    return ResiftRetriever(first_stage=FIRST_STAGE, **options)


both = pytest.mark.parametrize("make", [rerank, retrieve])


@both
def test_every_shared_option_is_a_field_that_is_saved(make: Any) -> None:
    assert set(OWN) == set(OPTIONS)
    assert {name: field.description for name, field in type(make()).model_fields.items() if name in OPTIONS} == OPTIONS
    step = make(**OWN)
    assert {name: step.model_dump()[name] for name in OWN} == OWN
    for again in (step.model_copy(deep=True), pickle.loads(pickle.dumps(step))):
        assert again.model_dump() == step.model_dump()


def test_every_option_survives_json() -> None:
    step = ResiftRerank(**OWN)
    assert ResiftRerank.model_validate_json(step.model_dump_json()).model_dump_json() == step.model_dump_json()


def test_every_option_of_the_reranker_has_a_place() -> None:
    """A new option in resift is missed here, not by a user."""
    fields = set(ResiftRerank.model_fields)
    assert set(inspect.signature(Reranker).parameters) - {"options"} - fields == {"top_k"}, "which is top_n here"
    assert set(OPTIONS) - set(inspect.signature(Reranker).parameters) <= set(ModelOptions.__annotations__)


@both
def test_options_reach_the_reranker(make: Any) -> None:
    loaded = make(max_length=24, threads=1, on_error="keep_order", patience=50).load()
    assert (loaded.on_error, loaded.patience, loaded.scorer.max_length) == ("keep_order", 50, 24)


async def test_a_bound_on_waiting_calls_is_obeyed(documents: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    class Slow(OverlapScorer):
        def score(self, query: str, documents: Any) -> list[float]:
            go_on.wait(10)
            return super().score(query, documents)

    monkeypatch.setattr(reranking, "Reranker", lambda model, **options: Reranker(Slow(), **options))
    step = ResiftRerank(max_pending=1)
    step.load()
    first = asyncio.create_task(step.acompress_documents(documents, "red fox"))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await step.acompress_documents(documents, "red fox")
    go_on.set()
    assert len(await first) == 3


def test_raw_is_the_models_own_number(documents: list[Document]) -> None:
    reranker = Reranker(ScriptedScorer([-3.0, 2.0, -0.5], scale=Scale.LOGIT))
    for step, expected in (
        (rerank(reranker=reranker, score="raw"), [2.0, -0.5, -3.0]),
        (rerank(reranker=reranker), [Scale.LOGIT.relevance(logit) for logit in (2.0, -0.5, -3.0)]),
    ):
        results = step.compress_documents(documents, "red fox")
        assert [document.metadata["relevance_score"] for document in results] == expected
    first_stage: Any = RunnableLambda(lambda _: documents)
    (document,) = ResiftRetriever(first_stage=first_stage, reranker=reranker, score="raw", k=1).invoke("red fox")
    assert document.metadata["relevance_score"] == 2.0
    with pytest.raises(ValidationError, match="relevance"):
        ResiftRerank(score="logit")  # type: ignore[arg-type]


@both
@pytest.mark.parametrize("name", ["top_n", "k", *inspect.signature(Reranker).parameters, "reranker", "score"])
def test_options_of_a_call_are_refused_among_the_engines(make: Any, name: str) -> None:
    if name == "options":  # the engine's own
        return
    count = "top_n" if make is rerank else "k"
    right = count if name in ("top_k", "top_n", "k") else name
    owner = type(make()).__name__
    message = re.escape(f"{name}, which is no option of an engine: say {owner}({right}=...)")
    with pytest.raises(ValidationError, match=message):
        make(engine_options={name: 1})
    with pytest.raises(InputError, match=message):
        make().model_copy(update={"engine_options": {name: 1}}).load()


def test_an_option_that_nobody_knows_is_the_engines_to_refuse(documents: list[Document]) -> None:
    step = ResiftRerank(engine_options={"bogus": 1})
    with pytest.raises(InputError, match="bogus"):
        step.compress_documents(documents, "red fox")


@both
def test_nothing_is_said_twice(make: Any) -> None:
    for name, value in OWN.items():
        if name in ModelOptions.__annotations__:
            with pytest.raises(ValidationError, match=f"{name}: given twice, once of them in engine_options"):
                make(**{name: value}, engine_options={name: value})


@both
def test_options_of_the_model_dont_go_beside_a_reranker(make: Any) -> None:
    for name, value in OWN.items():
        with pytest.raises(ValidationError, match=f"{name}: options of the model go to Reranker"):
            make(reranker=Reranker(OverlapScorer()), **{name: value})


@pytest.mark.parametrize(
    ("wrong", "for_rerank", "for_retriever"),
    [
        ("top_k", "say top_n=", "say k="),
        ("topk", "say top_n=", "say k="),
        ("n", "say top_n=", "say k="),
        ("k", "say top_n=", None),
        ("top_n", None, "say k="),
        ("model_name", "say model=", "say model="),
        ("candidates", "the retriever's choice", None),
        ("fetch_k", "the retriever's choice", "say candidates="),
        ("score_threshold", "say min_relevance=", "say min_relevance="),
        ("base_url", "engine_options={'base_url': ...}", "engine_options={'base_url': ...}"),
        ("modle", "did you mean model=?", "did you mean model=?"),
        ("metadata_mode", "did you mean metadata_keys=?", "did you mean metadata_keys=?"),
        ("base_retriever", "it has ", "say first_stage="),
        ("scorer", "say reranker=", "say reranker="),
        ("wheels", "it has ", "it has "),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(
    wrong: str, for_rerank: str | None, for_retriever: str | None
) -> None:
    for make, answer in ((rerank, for_rerank), (retrieve, for_retriever)):
        if answer is not None:
            owner = type(make()).__name__
            with pytest.raises(ValidationError, match=re.escape(f"{owner} has no option {wrong}")) as caught:
                make(**{wrong: "sk-hush"})
            assert answer in str(caught.value)
            assert "sk-hush" not in str(caught.value)


def test_a_wrong_name_in_a_call_is_answered_too() -> None:
    retriever = ResiftRetriever(first_stage=FIRST_STAGE, reranker=Reranker(OverlapScorer()))
    for wrong in ("top_k", "top_n", "n"):
        with pytest.raises(TypeError, match=f"no option {wrong}: say k="):
            retriever.invoke("red fox", **{wrong: 3})


def test_so_are_those_of_the_model_alone_and_of_the_embeddings() -> None:
    with pytest.raises(InputError, match="ResiftCrossEncoder has no option model_name: say model="):
        ResiftCrossEncoder(model_name="resift:tiny")  # type: ignore[call-arg]
    for left_without_a_score in ({"top_k": 1}, {"min_relevance": 0.9}, {"on_error": "keep_order"}):
        with pytest.raises(InputError, match="no option"):
            ResiftCrossEncoder(**left_without_a_score)  # type: ignore[arg-type]
    for wrong in ("model_name", "folder"):
        with pytest.raises(InputError, match=f"ResiftEmbeddings has no option {wrong}.*model"):
            ResiftEmbeddings(**{wrong: "resift:dense"})


@pytest.mark.parametrize("query", ["", "  \n", None, 3, ["red fox"]])
async def test_the_query_is_checked_before_the_first_stage(query: Any) -> None:
    class Untouched:
        def retrieve(self, query: str, k: int) -> Any:
            raise AssertionError("the first stage was asked")

    retriever = ResiftRetriever(first_stage=Untouched(), reranker=Reranker(OverlapScorer()))
    with pytest.raises(InputError, match=re.escape(f"the query must be a text with something in it, got {query!r}")):
        retriever.invoke(query)
    with pytest.raises(InputError, match=re.escape(f"the query must be a text with something in it, got {query!r}")):
        await retriever.ainvoke(query)


def test_a_path_object_is_a_path(tmp_path: Path) -> None:
    """It is kept as a text, which is serialised like any other."""
    given = {"model": tmp_path / "model", "cache": tmp_path / "scores.sqlite", "states_file": tmp_path / "states"}
    reranker = ResiftRerank(**given)
    assert {name: getattr(reranker, name) for name in given} == {name: str(path) for name, path in given.items()}
    assert reranker == ResiftRerank(**{name: str(path) for name, path in given.items()})
    with pytest.raises(ValueError, match="cache"):
        ResiftRerank(cache=3)


@pytest.mark.parametrize("name", ["threshold", "score_threshold", "similarity_cutoff"])
def test_a_threshold_among_the_engine_s_options_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"engine_options has {name}, .*say ResiftRerank\(min_relevance=...\)"):
        ResiftRerank(engine_options={name: 0.5})
