"""Dicts, JSON, pickles and copies: what comes back is what went in, or an error."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import MetadataMode, NodeWithScore

from llama_index.embeddings.resift import ResiftEmbedding
from llama_index.postprocessor.resift import ResiftRerank
from resift import Reranker
from resift.testing import OverlapScorer

OPTIONS: dict[str, Any] = {
    "model": "resift:small",
    "top_n": None,
    "min_relevance": 0.25,
    "score": "raw",
    "evidence": 2,
    "prune": 0.125,
    "metadata_mode": MetadataMode.NONE,
    "on_error": "keep_order",
    "deadline": 30.0,
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
    "engine_options": {},
}
ROUND_TRIPS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda component: type(component).from_dict(component.to_dict()),
    "json": lambda component: type(component).from_json(component.to_json()),
    "model": lambda component: type(component).model_validate(component.model_dump()),
    "model_json": lambda component: type(component).model_validate_json(component.model_dump_json()),
    "pickle": lambda component: pickle.loads(pickle.dumps(component)),
    "deepcopy": copy.deepcopy,
    "model_copy": lambda component: component.model_copy(),
}
round_trips = pytest.mark.parametrize("trip", ROUND_TRIPS.values(), ids=list(ROUND_TRIPS))


@round_trips
def test_every_option_comes_back(trip: Any) -> None:
    rerank = ResiftRerank(**OPTIONS)
    again = trip(rerank)
    assert type(again) is ResiftRerank
    assert again.to_dict() == rerank.to_dict() == {**OPTIONS, "class_name": "ResiftRerank"}


@round_trips
def test_an_embedding_comes_back_and_embeds_the_same(trip: Any) -> None:
    embedding = ResiftEmbedding(embed_batch_size=7)
    vector = embedding.get_text_embedding("a red fox")
    again = trip(embedding)
    assert again.to_dict() == embedding.to_dict()
    assert again.get_text_embedding("a red fox") == vector


@pytest.mark.parametrize("trip", ["pickle", "deepcopy", "model_copy"])
def test_a_reranker_of_ones_own_comes_along(trip: str, nodes: list[NodeWithScore]) -> None:
    rerank = ResiftRerank(reranker=Reranker(OverlapScorer(), top_k=2))
    again = ROUND_TRIPS[trip](rerank)
    assert isinstance(again.reranker.scorer, OverlapScorer)
    assert again.top_n == 2
    assert [hit.node_id for hit in again.postprocess_nodes(nodes, query_str="red fox")] == ["n1", "n2"]


def test_a_reranker_of_ones_own_is_serialised_by_its_models_name(bundled: Reranker) -> None:
    """So that a name nothing answers to is an error on reading back, and never another model."""
    assert ResiftRerank(reranker=Reranker(OverlapScorer())).to_dict()["model"] == "overlap"
    data = ResiftRerank(reranker=bundled, top_n=2).to_dict()
    assert (data["model"], data["top_n"]) == ("resift:small", 2)
    assert "reranker" not in json.loads(json.dumps(data))
    assert ResiftRerank.from_dict(data)._loaded.get().scorer.name == "resift:small"


def test_after_a_call_all_still_works(nodes: list[NodeWithScore]) -> None:
    rerank = ResiftRerank(top_n=2)
    expected = [(hit.node_id, hit.score) for hit in rerank.postprocess_nodes(nodes, query_str="red fox")]
    for trip in ROUND_TRIPS.values():
        again = trip(rerank)
        assert [(hit.node_id, hit.score) for hit in again.postprocess_nodes(nodes, query_str="red fox")] == expected


def test_a_copy_shares_the_loaded_model_unless_given_another() -> None:
    rerank = ResiftRerank()
    loaded = rerank._loaded.get()
    assert copy.deepcopy(rerank)._loaded.get() is loaded
    assert rerank.model_copy(update={"top_n": 1})._loaded.get() is loaded
    other = rerank.model_copy(update={"long_documents": "max_window"})
    assert other._loaded.get() is not loaded
    assert rerank._loaded.get() is loaded


def test_a_reranker_that_cant_be_pickled_is_an_error_and_not_another_model() -> None:
    class Locked(OverlapScorer):
        lock = None

        def __reduce__(self) -> Any:
            raise TypeError("cannot pickle a lock")

    rerank = ResiftRerank(reranker=Reranker(Locked()))
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(rerank)
    assert rerank.reranker is not None


def test_pickling_takes_nothing_from_the_original(caplog: pytest.LogCaptureFixture) -> None:
    """LlamaIndex drops callbacks that can't be pickled: from the pickle, not from the object in use."""
    manager = CallbackManager([])
    manager.handlers = [threading.Lock()]  # type: ignore[list-item]
    rerank = ResiftRerank(callback_manager=manager)
    again = pickle.loads(pickle.dumps(rerank))
    assert rerank.callback_manager is manager
    assert again.callback_manager.handlers == []
    assert "callback_manager" in caplog.text


@pytest.mark.parametrize("component", [ResiftRerank(), ResiftEmbedding()])
def test_pickling_drops_nothing_of_ours(component: Any, caplog: pytest.LogCaptureFixture) -> None:
    pickle.dumps(component)
    assert caplog.text == ""


def test_class_names_and_schemas() -> None:
    assert (ResiftRerank.class_name(), ResiftEmbedding.class_name()) == ("ResiftRerank", "ResiftEmbedding")
    assert {*OPTIONS, "class_name", "callback_manager"} == set(ResiftRerank.model_json_schema()["properties"])


def test_anothers_class_name_is_refused() -> None:
    with pytest.raises(ValueError, match="class_name"):
        ResiftRerank.model_validate({"class_name": "CohereRerank", "top_n": 3})
