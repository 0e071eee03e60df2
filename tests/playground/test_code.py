"""The code that the page shows runs, and gives the same order: in Python, LangChain and LlamaIndex."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import pytest
from chromadb.api.types import Documents, EmbeddingFunction, Embeddings
from chromadb.utils.embedding_functions import register_embedding_function
from starlette.testclient import TestClient

from resift import HybridFirstStage, Reranker, StaticEmbedder
from resift.playground.asgi import application
from resift.playground.code import SearchSettings, Source, snippets
from resift.playground.judgements import Judgements
from resift.playground.session import Playground
from resift.search.chroma import ChromaFirstStage

KINDS = ("python", "langchain", "llama-index")
TINY = {"model": "resift:tiny"}
SETTINGS = [
    pytest.param({"top_k": 20, "min_relevance": 0.2, **TINY}, id="threshold"),
    pytest.param({"top_k": 5, "fuse": 0.6, "first_stage": "vectors", **TINY}, id="vectors, fused"),
    pytest.param({"top_k": 4, "first_stage": "vectors"}, id="small, vectors", marks=pytest.mark.slow),
    pytest.param(
        {"top_k": 5, "fuse": 0.4, "long_documents": "first_window", "candidates": 6},
        id="fused, long documents",
        marks=pytest.mark.slow,
    ),
]
ODD = "what 'eats' \"bamboo\"?\n''' \\ {x} \u2028 <b> 🐼"


def run(code: str) -> list[str]:
    """Return the ids that a program prints, best first."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "copied.py", "exec"), {"__name__": "copied"})
    lines = out.getvalue().splitlines()
    return [next(word for word in line.split() if len(word) == 32) for line in lines]


@pytest.mark.parametrize("settings", SETTINGS)
def test_all_three_give_the_order_of_the_page(client: TestClient, settings: dict[str, Any]) -> None:
    asked = {"query": "what eats bamboo?", "model": "resift:small", "candidates": 20, **settings}
    shown = [hit["id"] for hit in client.post("/api/search", json=asked).json()["hits"] if hit["kept"]]
    codes = client.post("/api/code", json=asked).json()
    assert list(codes) == list(KINDS)
    assert shown
    for kind in KINDS:
        assert run(codes[kind]) == shown, kind


def test_any_question_is_a_text_in_the_code(client: TestClient) -> None:
    asked = {"query": ODD, "candidates": 5, "top_k": 3, **TINY}
    shown = [hit["id"] for hit in client.post("/api/search", json=asked).json()["hits"] if hit["kept"]]
    codes = client.post("/api/code", json=asked).json()
    assert [run(code) for code in codes.values()] == [shown] * 3


@register_embedding_function
class OthersEmbedding(EmbeddingFunction[Documents]):
    """An embedding function that is none of resift's."""

    def __init__(self) -> None:
        self._embedder = StaticEmbedder()

    def __call__(self, input: Documents) -> Embeddings:
        return list(self._embedder.embed(input))  # type: ignore[return-value]

    @staticmethod
    def name() -> str:
        return "playground-others"

    def get_config(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> OthersEmbedding:
        return OthersEmbedding()


def test_a_collection_with_another_embedding_function(
    tmp_path: Path, make_reranker: Callable[[str, str | None], Reranker]
) -> None:
    collection = chromadb.PersistentClient(tmp_path).create_collection("others", embedding_function=OthersEmbedding())
    texts = ["Pandas eat bamboo.", "Bamboo is a grass.", "Stocks fell.", "Foxes hunt mice."]
    ids = [f"{number:032}" for number in range(4)]
    collection.add(ids=ids, documents=texts)
    vectors = ChromaFirstStage(collection)
    playground = Playground(
        vectors,
        hybrid=HybridFirstStage(vectors),
        models=["resift:tiny"],
        make_reranker=make_reranker,
        judgements=Judgements(tmp_path / "judgements", "others"),
        source=Source(tmp_path, "others", None),
    )
    asked = {"query": "what eats bamboo?", "top_k": 2, **TINY}
    address = "http://127.0.0.1"
    with TestClient(application(playground), base_url=address, headers={"Origin": address}) as client:
        shown = [hit["id"] for hit in client.post("/api/search", json=asked).json()["hits"] if hit["kept"]]
        codes = client.post("/api/code", json=asked).json()
        assert "embedding function" in client.get("/api/state").json()["bi_encoder"]
    assert shown[0] == ids[0]
    assert [run(code) for code in codes.values()] == [shown] * 3


def test_kept_states_are_in_the_code_where_they_are_used(tmp_path: Path) -> None:
    settings = SearchSettings("resift:small", 50, 5, None, None, 0.0)
    source = Source(tmp_path, "zoo", "dense", tmp_path / "states.sqlite3")
    for kind, code in snippets(source, settings, "q").items():
        assert "states_file=" in code, kind
        compile(code, kind, "exec")
