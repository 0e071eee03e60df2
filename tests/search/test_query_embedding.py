"""Queries are embedded by the function that filled a Chroma collection, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from chromadb.utils.embedding_functions import DefaultEmbeddingFunction, register_embedding_function
from langchain_chroma import Chroma
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.schema import TextNode
from llama_index.vector_stores.chroma import ChromaVectorStore
from typer.testing import CliRunner

from resift import InputError, Reranker, TwoStageSearch
from resift.chroma import ChromaFirstStage, DenseEmbedding, StaticEmbedding
from resift.cli.app import app
from resift.errors import ScorerError
from resift.evaluation import Collection
from resift.evaluation.first_stage import first_stage
from resift.search.query_embedding import UnknownEmbeddingError
from resift.testing import OverlapScorer

TEXTS = ["a blue whale", "the red fox", "some green grapes"]
static = StaticEmbedding()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def never(self: Any, input: Any) -> Any:
        raise AssertionError("Chroma's default function was asked, which downloads a model")

    monkeypatch.setattr(DefaultEmbeddingFunction, "__call__", never)
    client = chromadb.EphemeralClient()
    yield client
    for collection in client.list_collections():
        client.delete_collection(collection.name)


def vectors_of(function: Any, texts: list[str]) -> list[list[float]]:
    return [np.asarray(vector).tolist() for vector in function(texts)]


def given_vectors(client: Any, name: str, function: Any = static, **options: Any) -> chromadb.Collection:
    """A collection that keeps no function, as langchain-chroma makes it."""
    collection: chromadb.Collection = client.create_collection(name, embedding_function=None, **options)
    collection.add(ids=list("012"), documents=TEXTS, embeddings=vectors_of(function, TEXTS))
    return collection


def test_a_collection_that_keeps_no_function_asks_for_one(client: Any) -> None:
    made = given_vectors(client, "bare")
    for collection in (made, client.get_collection("bare")):
        with pytest.raises(UnknownEmbeddingError, match=r"'bare' keeps no embedding function.*embed=function"):
            ChromaFirstStage(collection)
        stage = ChromaFirstStage(collection, embed=static)
        assert stage.retrieve("red fox", 1)[0].text == "the red fox"
        assert replace(stage, where_document={"$contains": "whale"}).retrieve("red fox", 1)[0].text == "a blue whale"
    opened = client.get_collection("bare", embedding_function=static)
    assert TwoStageSearch(ChromaFirstStage(opened), Reranker(OverlapScorer())).search("red fox")[0].document.id == "1"


def test_a_function_without_a_name_is_not_kept_either(client: Any) -> None:
    class Nameless(chromadb.EmbeddingFunction[Any]):
        def __init__(self) -> None: ...

        def __call__(self, input: Any) -> Any:
            return static(input)

    with pytest.warns(DeprecationWarning, match="name"):
        made = client.create_collection("nameless", embedding_function=Nameless())
    made.add(ids=list("012"), documents=TEXTS)
    assert ChromaFirstStage(made).retrieve("red fox", 1)[0].id == "1", "it is still at hand"
    with pytest.raises(UnknownEmbeddingError, match="'nameless' keeps no embedding function"):
        ChromaFirstStage(client.get_collection("nameless"))


def test_a_langchain_store_is_never_searched_with_chromas_default(client: Any) -> None:
    embeddings = DeterministicFakeEmbedding(size=384)  # as long as the default function's
    Chroma("langchain", embeddings, client=client).add_texts(TEXTS, ids=list("012"))
    reopened = client.get_collection("langchain")
    with pytest.raises(UnknownEmbeddingError, match="keeps no embedding function"):
        ChromaFirstStage(reopened)
    stage = ChromaFirstStage(reopened, embed=embeddings.embed_documents)
    assert stage.retrieve("the red fox", 1)[0].id == "1"


def test_a_llama_index_store_is_never_searched_with_chromas_default(client: Any) -> None:
    collection = client.create_collection("llama")  # as its documentation has it: it keeps Chroma's default function
    embed = DeterministicFakeEmbedding(size=384).embed_documents
    nodes = [TextNode(text=text, embedding=vector) for text, vector in zip(TEXTS, embed(TEXTS), strict=True)]
    ChromaVectorStore(chroma_collection=collection).add(nodes)
    stage = ChromaFirstStage(client.get_collection("llama"))
    with pytest.raises(UnknownEmbeddingError, match=r"'llama' was filled by LlamaIndex.*embed=function"):
        stage.retrieve("the red fox", 1)
    assert ChromaFirstStage(collection, embed=embed).retrieve("the red fox", 1)[0].text == "the red fox"


def test_vectors_of_another_model_show_before_the_first_query(client: Any) -> None:
    """As long, and so Chroma would find neighbours; or of another length, which it says in words of its own."""
    given_vectors(client, "same-length", DeterministicFakeEmbedding(size=256).embed_documents)
    opened = client.get_collection("same-length", embedding_function=static)
    with pytest.raises(UnknownEmbeddingError, match=r"other vectors than it holds: their cosine is .*embed=function"):
        ChromaFirstStage(opened).retrieve("red fox", 1)
    given_vectors(client, "other-length", DeterministicFakeEmbedding(size=8).embed_documents)
    opened = client.get_collection("other-length", embedding_function=static)
    with pytest.raises(UnknownEmbeddingError, match="gives 256 numbers for a text, and the collection holds 8"):
        ChromaFirstStage(opened).retrieve("red fox", 1)
    named = client.create_collection("named", embedding_function=static)
    named.add(ids=["1"], documents=["the red fox"], embeddings=[DeterministicFakeEmbedding(size=256).embed_query("x")])
    with pytest.raises(UnknownEmbeddingError, match="filled by another function than resift-static"):
        ChromaFirstStage(named).retrieve("red fox", 1)


def test_a_model_that_read_more_than_the_text_that_is_kept_passes(client: Any) -> None:
    embedded = [f"title: tales of animals\nsource: wood.txt\n{text}" for text in TEXTS]
    collection = client.create_collection("with-metadata", embedding_function=None)
    collection.add(ids=list("012"), documents=TEXTS, embeddings=vectors_of(static, embedded))
    opened = client.get_collection("with-metadata", embedding_function=static)
    assert ChromaFirstStage(opened).retrieve("red fox", 1)[0].id == "1"


def test_the_comparison_is_made_once_for_a_collection_whatever_the_filter(client: Any) -> None:
    calls: list[list[str]] = []

    def counted(texts: list[str]) -> Any:
        calls.append(texts)
        return StaticEmbedding()(texts)

    collection = client.create_collection("once", embedding_function=static)
    collection.add(ids=list("012"), documents=TEXTS)
    collection._embedding_function = counted
    stage = ChromaFirstStage(collection)
    stage.retrieve("red fox", 1)
    replace(stage, where_document={"$contains": "whale"}).retrieve("blue", 1)
    assert calls == [["a blue whale"], ["red fox"], ["blue"]]


def test_a_kept_function_that_fails_or_can_t_be_built_is_named(client: Any) -> None:
    @register_embedding_function
    class Failing(chromadb.EmbeddingFunction[Any]):
        has_key = True

        def __init__(self) -> None:
            if not Failing.has_key:
                raise ValueError("the API key is missing")

        def __call__(self, input: Any) -> Any:
            raise ConnectionError("no route to host")

        @staticmethod
        def name() -> str:
            return "failing"

        def get_config(self) -> dict[str, Any]:
            return {}

        @staticmethod
        def build_from_config(config: dict[str, Any]) -> Failing:
            return Failing()

    made = client.create_collection("failing", embedding_function=Failing())
    with pytest.raises(ScorerError, match=r"'failing' of collection 'failing' failed: ConnectionError: no route"):
        ChromaFirstStage(made).retrieve("red fox", 1)
    Failing.has_key = False
    with pytest.raises(InputError, match=r"'failing' of collection 'failing' can't be built: .*API key is missing"):
        ChromaFirstStage(client.get_collection("failing")).retrieve("red fox", 1)


def test_an_embed_that_is_no_function_or_gives_no_vectors(client: Any) -> None:
    collection = given_vectors(client, "wrong")
    wrong: Any
    for wrong, message in (
        ("a model", "embed is a str: give a function"),
        (lambda texts: [[0.1] * 3] * len(texts), "can't be searched: .*dimension"),
        (lambda _: [0.1] * 256, r"gave an array of shape \(256,\) for 1 texts"),
        (lambda texts: [[float("nan")] * 256] * len(texts), "one vector of finite numbers per text"),
    ):
        with pytest.raises(InputError, match=message):
            ChromaFirstStage(collection, embed=wrong).retrieve("red fox", 1)


def test_the_command_line_and_the_evaluation_ask_too(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    given_vectors(chromadb.PersistentClient(str(folder)), "bare", DenseEmbedding())
    found = CliRunner().invoke(app, ["search", "red fox", "--db", str(folder), "--collection", "bare"])
    assert (found.exit_code, found.stdout) == (1, "")
    assert "resift: collection 'bare' keeps no embedding function" in found.stderr
    assert "--embedder" in found.stderr
    named = ["search", "red fox", "--db", str(folder), "--collection", "bare", "--embedder", "dense", "--top-k", "1"]
    assert "the red fox" in CliRunner().invoke(app, named).stdout
    judged = Collection("small", dict(zip("012", TEXTS, strict=True)), {"q": "red fox"}, {"q": {"1": 1}})
    with pytest.raises(InputError, match=r"chroma:.*bare: collection 'bare' keeps no .*retrieved_run"):
        first_stage(f"chroma:{folder}#bare", judged, 2)


async def test_an_async_collection_is_refused_when_it_is_given() -> None:
    from chromadb.api.models.AsyncCollection import AsyncCollection

    collection = AsyncCollection.__new__(AsyncCollection)
    with pytest.raises(InputError, match="AsyncCollection, whose query is awaited: give a collection of"):
        ChromaFirstStage(collection)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="first_stage is a Chroma AsyncCollection"):
        TwoStageSearch(collection)  # type: ignore[arg-type]
