"""Real Chroma, in memory, on disk and over HTTP, as the first stage."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
import random_models
import split_models
from build_once import BuildOnce
from chromadb.config import Settings

from resift import InputError, MissingExtraError, Reranker, TwoStageSearch
from resift.chroma import ChromaFirstStage, DenseEmbedding, HybridFirstStage, StaticEmbedding
from resift.demo import fables
from resift.models.manifest import Manifest
from resift.search.chroma import bi_encoder_of, embedding_name
from resift.search.collections import OtherEmbeddingError, create_collection, open_collection
from resift.testing import OverlapScorer

QUESTION = "which animal could not reach the grapes?"
ANSWER = "the-fox-and-the-grapes"


def filled(client: Any, name: str = "fables", **options: Any) -> chromadb.Collection:
    collection: chromadb.Collection = client.create_collection(name, embedding_function=StaticEmbedding(), **options)
    stories = fables()
    collection.add(
        ids=[str(story.id) for story in stories],
        documents=[story.text for story in stories],
        metadatas=[{"length": len(story.text), "short": len(story.text) < 500} for story in stories],
    )
    return collection


@pytest.fixture
def client() -> Iterator[Any]:
    client = chromadb.EphemeralClient()
    yield client
    for collection in client.list_collections():
        client.delete_collection(collection.name)


def test_two_stages_over_a_collection(client: Any, bundled: Reranker) -> None:
    search = TwoStageSearch(ChromaFirstStage(filled(client)), bundled)
    hit = search.search(QUESTION, top_k=1)[0]
    assert hit.document.id == ANSWER
    assert hit.document.metadata["length"] == len(hit.document.text)
    (many,) = search.search_many([QUESTION], top_k=1)
    assert many[0] == hit


async def test_asearch_leaves_the_event_loop_alone(client: Any) -> None:
    search = TwoStageSearch(ChromaFirstStage(filled(client)), Reranker(OverlapScorer()))
    assert (await search.asearch("fox grapes")).hits == search.search("fox grapes").hits


def test_filters_pass_through(client: Any) -> None:
    stage = ChromaFirstStage(filled(client), where={"short": True})
    assert all(passage.metadata["length"] < 500 for passage in stage.retrieve("fox", 20))
    contains = replace(stage, where=None, where_document={"$contains": "grapes"})
    assert all("grapes" in passage.text for passage in contains.retrieve("fox", 20))


@pytest.mark.parametrize("space", ["cosine", "ip", "l2"])
def test_similarity_is_right_in_every_space(client: Any, space: str) -> None:
    collection = client.create_collection(
        f"space-{space}", configuration={"hnsw": {"space": space}}, embedding_function=None
    )
    vectors = {"same": [0.6, 0.8], "near": [0.0, 1.0], "far": [-0.6, -0.8]}
    collection.add(ids=list(vectors), embeddings=list(vectors.values()), documents=list(vectors))
    query = np.array([0.6, 0.8])

    stage = ChromaFirstStage(collection, embed=lambda texts: [query] * len(texts))
    found = {passage.id: passage.similarity for passage in stage.retrieve("q", 3)}
    dots = {name: float(query @ np.array(vector)) for name, vector in vectors.items()}
    if space == "l2":
        distances = {name: float(np.linalg.norm(query - np.array(vector))) for name, vector in vectors.items()}
        assert found == pytest.approx({name: 1 / (1 + distance) for name, distance in distances.items()}, abs=1e-4)
    else:
        assert found == pytest.approx(dots, abs=1e-5)
    assert list(found) == ["same", "near", "far"]


def test_an_empty_collection_and_more_wanted_than_there_are(client: Any) -> None:
    empty = client.create_collection("empty", embedding_function=StaticEmbedding())
    assert ChromaFirstStage(empty).retrieve("fox", 10) == []
    assert len(ChromaFirstStage(filled(client)).retrieve("fox", 10_000)) == len(fables())


def test_a_record_without_text_is_a_clear_error(client: Any) -> None:
    collection = client.create_collection("bare", embedding_function=StaticEmbedding())
    collection.add(ids=["7"], embeddings=[[0.1] * StaticEmbedding()(["x"])[0].shape[0]])
    with pytest.raises(InputError, match="record '7' of collection 'bare' has no document"):
        ChromaFirstStage(collection).retrieve("fox", 1)


def test_vectors_of_another_version_are_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = filled(client)
    monkeypatch.setattr(Manifest, "fingerprint", "that of a later release")
    with pytest.raises(InputError, match="another version of the bi-encoder resift:static"):
        ChromaFirstStage(collection)


def test_a_dense_collection_is_searched_and_reopened(tmp_path: Path) -> None:
    stories = [story for story in fables() if len(story.text) < 350][:12]
    collection = chromadb.PersistentClient(str(tmp_path)).create_collection(
        "dense", embedding_function=DenseEmbedding(), configuration={"hnsw": {"space": "cosine"}}
    )
    collection.add(ids=[str(story.id) for story in stories], documents=[story.text for story in stories])
    (found,) = ChromaFirstStage(collection).retrieve(stories[5].text, 1)
    assert found.id == stories[5].id
    assert found.similarity == pytest.approx(1, abs=1e-4)
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    reopened = chromadb.PersistentClient(str(tmp_path)).get_collection("dense")
    assert ChromaFirstStage(reopened).retrieve(stories[5].text, 1)[0].id == stories[5].id


def test_a_multilingual_collection_is_reopened_and_indexed_with_its_own_bi_encoder(
    multilingual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create_collection(tmp_path, "notes", "multilingual")
    texts = list(split_models.LANGUAGES.values())
    made.add(ids=list(split_models.LANGUAGES), documents=texts)
    assert (bi_encoder_of(made), embedding_name(made)) == ("multilingual", "resift:multilingual")
    again = create_collection(tmp_path, "notes")
    again.add(ids=["again"], documents=texts[:1])
    vectors = again.get(ids=["again", "English"], include=["embeddings"])["embeddings"]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    stage = ChromaFirstStage(chromadb.PersistentClient(str(tmp_path)).get_collection("notes"))
    assert stage.name == "resift:multilingual, collection notes"
    assert stage.retrieve(texts[2], 1)[0].id == "Russian"
    with pytest.raises(OtherEmbeddingError, match="was indexed with resift:multilingual"):
        create_collection(tmp_path, "notes", "dense")
    with pytest.raises(InputError, match="is embedded with resift:multilingual"):  # vectors as long as resift:dense's
        open_collection(tmp_path, "notes", "dense")
    monkeypatch.setitem(sys.modules, "resift_multilingual", None)
    with pytest.raises(MissingExtraError, match=r"resift\[multilingual\]"):
        ChromaFirstStage(open_collection(tmp_path, "notes"))


def test_a_collection_of_a_folder_is_indexed_with_that_folder(build_once: BuildOnce, tmp_path: Path) -> None:
    """Its vectors would have those of the bundled bi-encoder among them, were they as long."""
    folder = str(build_once("split", split_models.export) / "model")
    client = chromadb.PersistentClient(tmp_path, settings=Settings(anonymized_telemetry=False))
    client.create_collection("own", embedding_function=DenseEmbedding(folder))
    opened = create_collection(tmp_path, "own")
    opened.add(ids=["a"], documents=["a panda"])
    assert len(opened.get(include=["embeddings"])["embeddings"][0]) == split_models.WIDTH
    assert embedding_name(opened) == folder
    with pytest.raises(OtherEmbeddingError, match="was indexed with /"):
        create_collection(tmp_path, "own", "dense")


def test_another_encoder_is_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = client.create_collection("dense", embedding_function=DenseEmbedding())
    monkeypatch.setattr(Manifest, "fingerprint_of", lambda *_: "that of a later release")
    with pytest.raises(InputError, match="another version of the bi-encoder resift:dense"):
        ChromaFirstStage(collection)


def test_a_collection_filled_once_serves_both_stages(client: Any, build_once: BuildOnce, tmp_path: Path) -> None:
    folder, file = build_once("split", split_models.export) / "model", tmp_path / "states.sqlite3"
    collection = client.create_collection("both", embedding_function=DenseEmbedding(str(folder), states_file=file))
    texts = random_models.documents((3, 9, 20, 40))
    collection.add(ids=list("abcd"), documents=texts)
    search = TwoStageSearch(ChromaFirstStage(client.get_collection("both")), Reranker(folder, states_file=file))
    stats = search.search("panda bamboo").stats
    assert (stats.states_kept, stats.tokens) == (4, 0)


def test_a_persistent_collection_rebuilds_its_embedding_function(tmp_path: Path) -> None:
    filled(chromadb.PersistentClient(str(tmp_path)))
    reopened = """
import sys, chromadb, resift.chroma
collection = chromadb.PersistentClient(sys.argv[1]).get_collection("fables")
print(resift.chroma.ChromaFirstStage(collection).retrieve("a fox and grapes", 1)[0].id)
"""
    run = subprocess.run([sys.executable, "-c", reopened, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == ANSWER, run.stderr


def test_over_http(tmp_path: Path, bundled: Reranker) -> None:
    server, client = _start_server(tmp_path)
    try:
        collection = filled(client)
        search = TwoStageSearch(ChromaFirstStage(collection), bundled, candidates=10)
        assert search.search(QUESTION, top_k=1)[0].document.id == ANSWER
        hybrid = HybridFirstStage(ChromaFirstStage(collection))  # whose words are indexed in memory
        assert hybrid.lexical.index.folder is None
        assert hybrid.retrieve(QUESTION, 1)[0].found["lexical"].rank == 1
        collection.update(ids=[ANSWER], documents=["a xylophone"])
        assert hybrid.retrieve("xylophone", 1)[0].id == ANSWER
        other = ChromaFirstStage(collection)  # which has embedded nothing yet
    finally:
        server.terminate()
        server.wait(20)
    for stage in (hybrid, hybrid.lexical, other):
        with pytest.raises(InputError, match=r"'fables' can't be reached: .*; is its Chroma server running"):
            stage.retrieve(QUESTION, 1)
    # chromadb 1.0 has no close, and that of 1.5 leaves the sockets of both its clients to the collector.
    for server_api in (client._server, client._admin_client._server):
        server_api._session.close()


def _start_server(folder: Path) -> tuple[subprocess.Popen[bytes], Any]:
    """Start Chroma's server, which takes no port 0, and connect to it."""
    for _ in range(5):  # another program may take the port first: then it ends
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        chroma = Path(sys.executable).with_name("chroma")
        command = [str(chroma), "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if server.poll() is not None:
                break
            try:
                return server, chromadb.HttpClient("127.0.0.1", port)
            except ValueError:  # chromadb's word for a server that does not answer yet
                time.sleep(0.1)
        server.kill()
        server.wait(20)
    raise AssertionError("the Chroma server did not start")
