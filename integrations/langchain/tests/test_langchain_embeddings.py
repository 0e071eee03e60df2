from __future__ import annotations

import json
import pickle

import pytest
from langchain_core.embeddings import Embeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_resift import ResiftEmbeddings
from resift import DenseEmbedder, OverloadedError, StaticEmbedder


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return ResiftEmbeddings


class TestIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return ResiftEmbeddings


@pytest.fixture(scope="module")
def embeddings() -> ResiftEmbeddings:
    return ResiftEmbeddings()


def test_plain_unit_vectors(embeddings: ResiftEmbeddings) -> None:
    vectors = embeddings.embed_documents(["a hungry fox", "tax law"])
    assert json.loads(json.dumps(vectors)) == vectors
    assert [sum(value * value for value in vector) for vector in vectors] == pytest.approx([1, 1], abs=1e-5)
    assert embeddings.embed_documents([]) == []


@pytest.mark.parametrize("model", ["resift:static", "resift:dense"])
def test_texts_without_a_known_token_give_zeros_and_not_one_vector(model: str) -> None:
    vectors = ResiftEmbeddings(model).embed_documents(["สวัสดี", "ขอบคุณ ครับ", ""])
    assert all(value == 0 for vector in vectors for value in vector)


def test_near_is_near(embeddings: ResiftEmbeddings) -> None:
    query = embeddings.embed_query("a hungry fox")
    near, far = (
        sum(left * right for left, right in zip(query, vector, strict=True))
        for vector in embeddings.embed_documents(["the fox wanted food", "tax law"])
    )
    assert near > far


def test_the_dense_model_and_folders_of_either_kind(embeddings: ResiftEmbeddings) -> None:
    dense = ResiftEmbeddings("resift:dense")
    assert len(dense.embed_query("a fox")) == DenseEmbedder().dimensions != len(embeddings.embed_query("a fox"))
    table = StaticEmbedder().folder
    assert ResiftEmbeddings(table).embed_query("a fox") == embeddings.embed_query("a fox")
    assert ResiftEmbeddings(model=table).embed_query("a fox") == embeddings.embed_query("a fox")


async def test_too_many_waiting_calls_get_advice_that_can_be_followed() -> None:
    full = ResiftEmbeddings()
    full._worker.limit = 0
    with pytest.raises(OverloadedError, match=r"0 calls are waiting.*try again later") as caught:
        await full.aembed_query("a fox")
    assert "max_pending" not in str(caught.value), "which embeddings don't have"
    assert "reranker" not in str(caught.value)


def test_pickles(embeddings: ResiftEmbeddings) -> None:
    again = pickle.loads(pickle.dumps(embeddings))
    assert again.embed_query("a fox") == embeddings.embed_query("a fox")
