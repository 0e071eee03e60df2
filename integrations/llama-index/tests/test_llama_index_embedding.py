"""The bundled bi-encoder as LlamaIndex sees it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from llama_index.core.schema import TextNode

from llama_index.embeddings.resift import ResiftEmbedding
from resift import DenseEmbedder, ModelFileError, OverloadedError, StaticEmbedder

TEXTS = ["Pandas eat bamboo.", "", "Stocks fell on Monday.", "Pandas eat bamboo."]


def test_vectors_are_plain_lists_and_the_embedders_own() -> None:
    embedding = ResiftEmbedding()
    expected = StaticEmbedder().embed(TEXTS).tolist()
    results = embedding.get_text_embedding_batch(TEXTS)
    assert results == expected
    assert {type(number) for vector in results for number in vector} == {float}
    assert [embedding.get_text_embedding(text) for text in TEXTS] == expected
    assert [embedding.get_query_embedding(text) for text in TEXTS] == expected
    assert embedding.get_text_embedding_batch([]) == []


def test_near_texts_are_near() -> None:
    embedding = ResiftEmbedding()
    query, near, far = embedding.get_text_embedding_batch(["a hungry fox", "the fox wanted food", "tax law"])
    assert embedding.similarity(query, near) > embedding.similarity(query, far)


def test_batches_are_as_large_as_told(events: object) -> None:
    ResiftEmbedding(embed_batch_size=3).get_text_embedding_batch(TEXTS)
    ended = events.named("EmbeddingEndEvent")  # type: ignore[attr-defined]
    assert [len(event.chunks) for event in ended] == [3, 1]


def test_nodes_are_embedded_with_their_metadata() -> None:
    embedding = ResiftEmbedding()
    node = TextNode(text="body", metadata={"title": "Pandas"})
    embedding([node])
    assert node.embedding == embedding.get_text_embedding("title: Pandas\n\nbody")


def test_nothing_opens_before_the_first_call_and_a_wrong_folder_says_so(tmp_path: Path) -> None:
    embedding = ResiftEmbedding(model=str(tmp_path))
    assert (embedding.model_name, ResiftEmbedding().model_name) == (str(tmp_path), StaticEmbedder().name)
    with pytest.raises(ModelFileError):
        embedding.get_query_embedding("anything")


def test_a_folder_of_ones_own_serves(bundled_table: Path) -> None:
    own = ResiftEmbedding(model=str(bundled_table), model_name="mine")
    assert own.model_name == "mine"
    assert own.get_query_embedding("fox") == ResiftEmbedding().get_query_embedding("fox")


async def test_the_dense_model_computes_off_the_loop() -> None:
    dense = ResiftEmbedding(model="resift:dense")
    assert dense.model_name == "resift:dense"
    expected = DenseEmbedder().embed(TEXTS[:2]).tolist()
    assert dense.get_text_embedding_batch(TEXTS[:2]) == expected
    assert await dense.aget_text_embedding_batch(TEXTS[:2]) == expected
    assert ResiftEmbedding.from_dict(dense.to_dict()).model == "resift:dense"
    assert pickle.loads(pickle.dumps(dense)).get_text_embedding("Pandas") == dense.get_text_embedding("Pandas")


async def test_too_many_waiting_calls_get_advice_that_can_be_followed() -> None:
    dense = ResiftEmbedding(model="resift:dense")
    dense._worker.limit = 0
    with pytest.raises(OverloadedError, match=r"0 calls are waiting.*try again later") as caught:
        await dense.aget_query_embedding("a fox")
    assert "max_pending" not in str(caught.value), "which embeddings don't have"
    assert "reranker" not in str(caught.value)


@pytest.fixture
def bundled_table() -> Path:
    return StaticEmbedder().folder


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        ResiftEmbedding(batch_size=3)  # type: ignore[call-arg]


def test_a_copy_given_another_folder_opens_that_one(tmp_path: Path) -> None:
    embedding = ResiftEmbedding()
    embedding.get_query_embedding("fox")
    with pytest.raises(ModelFileError):
        embedding.model_copy(update={"model": str(tmp_path)}).get_query_embedding("fox")
