"""Options: named as in the other adapter, each said in one place; wrong names are answered with the right ones."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index.embeddings.resift import ResiftEmbedding
from llama_index.postprocessor.resift import ResiftRerank
from resift import InputError, Reranker
from resift.adapters import OPTIONS, ModelOptions
from resift.testing import OverlapScorer


def test_every_shared_option_is_a_field() -> None:
    described = {name: field.description for name, field in ResiftRerank.model_fields.items() if name in OPTIONS}
    assert described == OPTIONS
    assert all(ResiftRerank.model_fields[name].frozen for name in OPTIONS)


def test_every_option_of_the_reranker_has_a_place() -> None:
    """A new option in resift is missed here, not by a user."""
    fields = set(ResiftRerank.model_fields)
    assert set(inspect.signature(Reranker).parameters) - {"options"} - fields == {"top_k"}, "which is top_n here"
    assert set(OPTIONS) - set(inspect.signature(Reranker).parameters) <= set(ModelOptions.__annotations__)


@pytest.mark.parametrize("name", ["top_n", "k", *inspect.signature(Reranker).parameters, "reranker", "score"])
def test_options_of_a_call_are_refused_among_the_engines(name: str) -> None:
    if name == "options":  # the engine's own
        return
    right = "top_n" if name in ("top_k", "k") else name
    message = re.escape(f"{name}, which is no option of an engine: say ResiftRerank({right}=...)")
    with pytest.raises(ValueError, match=message):
        ResiftRerank(engine_options={name: 1})
    with pytest.raises(InputError, match=message):
        ResiftRerank().model_copy(update={"engine_options": {name: 1}})._loaded.get()


def test_an_option_that_nobody_knows_is_the_engines_to_refuse(nodes: list[NodeWithScore]) -> None:
    with pytest.raises(InputError, match="bogus"):
        ResiftRerank(engine_options={"bogus": 1}).postprocess_nodes(nodes, query_str="red fox")


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ("top_k", "say top_n="),
        ("topn", "say top_n="),
        ("topk", "say top_n="),
        ("k", "say top_n="),
        ("n", "say top_n="),
        ("model_name", "say model="),
        ("candidates", "the retriever's choice"),
        ("scorer", "say reranker="),
        ("similarity_cutoff", "say min_relevance="),
        ("base_url", "engine_options={'base_url': ...}"),
        ("modle", "did you mean model=?"),
        ("metadata_keys", "did you mean metadata_mode=?"),
        ("wheels", "it has "),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(wrong: str, answer: str) -> None:
    with pytest.raises(ValueError, match=f"ResiftRerank has no option {wrong}") as caught:
        ResiftRerank(**{wrong: "sk-hush"})  # type: ignore[arg-type]
    assert answer in str(caught.value)
    assert "sk-hush" not in str(caught.value)


def test_a_wrong_name_of_an_embedding_is_answered_too() -> None:
    with pytest.raises(ValueError, match="ResiftEmbedding has no option batch_size: did you mean embed_batch_size="):
        ResiftEmbedding(batch_size=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="ResiftEmbedding has no option folder"):
        ResiftEmbedding(folder="mine")  # type: ignore[call-arg]


def test_a_model_name_chooses_no_model_so_it_is_refused_alone() -> None:
    """Other embeddings of LlamaIndex are chosen by `model_name`; here that would name one model and open another."""
    with pytest.raises(ValueError, match="model='resift:dense'"):
        ResiftEmbedding(model_name="resift:dense")
    assert ResiftEmbedding(model="resift:dense", model_name="mine").model_name == "mine"


@pytest.mark.parametrize("query", ["", "  \n", 3, ["red fox"]])
async def test_a_query_that_is_none_is_told_what_it_is(query: Any, nodes: list[NodeWithScore]) -> None:
    rerank = ResiftRerank(reranker=Reranker(OverlapScorer()))
    with pytest.raises(InputError, match=re.escape(f"needs a query with something in it, got {query!r}")):
        rerank.postprocess_nodes(nodes, QueryBundle(query))
    with pytest.raises(InputError, match=re.escape(f"needs a query with something in it, got {query!r}")):
        await rerank.apostprocess_nodes(nodes, QueryBundle(query))


def test_a_path_object_is_a_path(tmp_path: Path) -> None:
    """It is kept as a text, which is serialised like any other."""
    given = {"model": tmp_path / "model", "cache": tmp_path / "scores.sqlite", "states_file": tmp_path / "states"}
    reranker = ResiftRerank(**given)
    assert {name: getattr(reranker, name) for name in given} == {name: str(path) for name, path in given.items()}
    assert reranker.to_json() == ResiftRerank(**{name: str(path) for name, path in given.items()}).to_json()
    assert ResiftEmbedding(model=tmp_path).model == str(tmp_path)
    with pytest.raises(ValueError, match="cache"):
        ResiftRerank(cache=3)


@pytest.mark.parametrize("name", ["threshold", "score_threshold", "similarity_cutoff"])
def test_a_threshold_among_the_engine_s_options_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"engine_options has {name}, .*say ResiftRerank\(min_relevance=...\)"):
        ResiftRerank(engine_options={name: 0.5})
