"""First stages for evaluation: each gives the order it says, and what it can't use is refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import chromadb
import numpy as np
import pytest
from build_once import BuildOnce
from chromadb.config import Settings

from resift import InputError, Reranker
from resift.chroma import DenseEmbedding, StaticEmbedding
from resift.embedders.static import StaticEmbedder
from resift.evaluation import Collection, embedding_run, evaluate, fuse, retrieved_run
from resift.evaluation.first_stage import candidates, first_stage, stage_name
from resift.search.two_stage import MemoryFirstStage, Passage
from resift.testing import OverlapScorer

DOCUMENTS = {
    "d1": "bamboo is a grass",
    "d2": "pandas eat bamboo",
    "d3": "stocks fell on monday",
    "d4": "pandas sleep",
    "d5": "stocks fell on monday",
}
QUERIES = {"q1": "pandas bamboo", "q2": "stocks monday", "q3": "xylophone"}
QRELS = {"q1": {"d2": 2}, "q2": {"d3": 1}, "q3": {"d1": 1}}


@pytest.fixture
def collection() -> Collection:
    return Collection("small", DOCUMENTS, QUERIES, QRELS)


def letters(texts: list[str]) -> list[list[float]]:
    """How often each letter comes: an embedding anybody can compute."""
    return [[text.count(letter) + 0.0 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]


def test_fusing_counts_reciprocal_ranks() -> None:
    first, second = {"q": ["a", "b", "c"]}, {"q": ["c", "d"], "r": ["e"]}
    counts = {"a": 1 / 61, "b": 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 62}
    expected = sorted(counts, key=lambda document: -counts[document])
    assert expected == ["c", "a", "b", "d"], "b and d count the same: the first list's comes first"
    assert fuse([first, second]) == {"q": expected, "r": ["e"]}
    assert fuse([second, first])["q"] == ["c", "a", "d", "b"]
    assert fuse([first, second], [0.99, 0.01])["q"] == ["a", "b", "c", "d"]


def test_what_counts_the_same_is_equal_to_the_last_bit() -> None:
    """1/61 + 1/67 + 1/68 in floats depends on which two are added first: y would come before x and z."""
    ranks = {"x": (1, 7, 8), "y": (8, 1, 7), "z": (7, 8, 1)}
    assert 1 / 68 + 1 / 61 + 1 / 67 > 1 / 61 + 1 / 67 + 1 / 68
    lists = [{ranks[id][run]: id for id in ranks} for run in range(3)]
    fused = fuse([{"q": [here.get(rank, f"{run}-{rank}") for rank in range(1, 9)]} for run, here in enumerate(lists)])
    assert fused["q"][:3] == ["x", "z", "y"], "as the first list has them"


def test_weights_that_make_no_sense() -> None:
    for weights in ([1.0], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]):
        with pytest.raises(InputError, match="2 weights are wanted, none below 0 and not all 0"):
            fuse([{"q": ["a"]}, {"q": ["b"]}], weights)


def test_bm25_takes_equal_documents_in_their_order_however_many_are_asked_for(collection: Collection) -> None:
    deep = first_stage("bm25", collection, 5)
    assert deep == {"q1": ["d2", "d1", "d4"], "q2": ["d3", "d5"], "q3": []}
    for depth in (1, 2, 3):
        assert first_stage("bm25", collection, depth) == {query: listed[:depth] for query, listed in deep.items()}
    texts = {f"d{number}": ("the same words", "words words", "other things")[number % 3] for number in range(300)}
    equal = Collection("equal", texts, {"q": "words"}, {"q": {"d0": 1}})
    found = first_stage("bm25", equal, 150)["q"]
    assert found == [f"d{number}" for number in [*range(1, 300, 3), *range(0, 150, 3)]]


def test_bm25_leaves_a_gpu_alone_where_jax_is_installed(tmp_path: Path) -> None:
    """bm25s tries JAX when imported, which would take most of a GPU, and prefers it, which orders equals anew."""
    fake = tmp_path / "jax"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "lax.py").write_text(
        "import os\n"
        "def top_k(scores, k):\n"
        "    assert len(scores) == 5, 'JAX was asked for an order'\n"
        "    print('on import:', os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'])\n"
    )
    program = (
        "import os\n"
        "from resift.evaluation.bm25 import bm25_indices\n"
        "print(bm25_indices(['grapes', 'a fox', 'the fox'], ['fox'], 2).tolist())\n"
        "print('after:', os.environ.get('XLA_PYTHON_CLIENT_PREALLOCATE'))\n"
    )
    for given, on_import in ((None, "false"), ("true", "true")):
        around = {**os.environ, "PYTHONPATH": str(tmp_path)}
        if given is not None:
            around["XLA_PYTHON_CLIENT_PREALLOCATE"] = given
        ran = subprocess.run([sys.executable, "-c", program], env=around, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        printed, indices, after = ran.stdout.splitlines()
        assert (printed, after) == (f"on import: {on_import}", f"after: {given}")
        assert sorted(json.loads(indices)[0]) == [1, 2]


def test_joined_names_are_fused_from_deep_lists(collection: Collection) -> None:
    words, meaning = (first_stage(name, collection, 1000) for name in ("bm25", "static"))
    expected = fuse([words, meaning])
    assert first_stage("bm25+static", collection, 5) == expected
    assert first_stage("bm25+static", collection, 2) == {query: listed[:2] for query, listed in expected.items()}
    for name, message in (
        ("bm25+judged", "judged documents have no order that could be fused"),
        ("bm25+statics", "'statics' is no file .* none of bm25, static, dense, multilingual, judged, chroma:"),
        ("bm25+", "'' is no file"),
    ):
        with pytest.raises(InputError, match=message):
            first_stage(name, collection, 5)


def test_a_file_with_a_plus_in_its_name_is_one_run(collection: Collection, tmp_path: Path) -> None:
    run = tmp_path / "bm25+static"
    run.write_text("q1 Q0 d4 1 2.0 x\n")
    assert first_stage(str(run), collection, 5) == {"q1": ["d4"]}
    assert stage_name(str(run)) == "bm25+static"


def test_a_document_deep_in_both_lists_comes_first_however_few_are_asked_for(
    collection: Collection, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text('{"qid": "q1", "docids": ["d1", "d2", "d3"]}')
    other.write_text('{"qid": "q1", "docids": ["d4", "d5", "d3"]}')
    assert first_stage(f"{one}+{other}", collection, 1) == {"q1": ["d3"]}
    assert stage_name(f"{one}+{other}") == "one.jsonl+other.jsonl"


def test_any_embedding_function_is_a_first_stage(collection: Collection) -> None:
    run = embedding_run(letters, collection, 3)
    vectors, query = np.array(letters(list(DOCUMENTS.values()))), np.array(letters(["pandas bamboo"]))[0]
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1)
    assert run["q1"] == [list(DOCUMENTS)[index] for index in np.argsort(-cosines, kind="stable")[:3]]
    assert run["q2"][:2] == ["d3", "d5"], "equal documents keep the collection's order"
    assert embedding_run(StaticEmbedding(), collection, 3) == first_stage("static", collection, 3)
    assert embedding_run(DenseEmbedding(), collection, 3) == first_stage("dense", collection, 3)
    embedded: list[str] = []

    def embed_queries(texts: list[str]) -> list[list[float]]:
        embedded.extend(texts)
        return letters(["stocks fell on monday"] * len(texts))

    assert embedding_run(letters, collection, 1, embed_queries=embed_queries)["q1"] == ["d3"]
    assert embedded == list(QUERIES.values())


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda texts: [[1.0]], r"shape \(1, 1\) for 4 texts; it must give one vector"),
        (lambda texts: [1.0] * len(texts), r"shape \(4,\) for 4 texts"),
        (lambda texts: [[float("nan")]] * len(texts), r"shape \(4, 1\) for 4 texts, with NaN or infinite"),
        (lambda texts: [[1.0] * len(texts)] * len(texts), "vectors of 4 numbers and queries of 3"),
    ],
)
def test_vectors_that_cannot_be_compared(
    collection: Collection, embed: Callable[[list[str]], list[list[float]]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        embedding_run(embed, collection, 3)


def test_any_first_stage_object_and_ids_it_should_not_give(collection: Collection) -> None:
    passages = [Passage(text, id) for id, text in DOCUMENTS.items()]
    run = retrieved_run(MemoryFirstStage(passages, StaticEmbedder()), collection, 3)
    assert run == first_stage("static", collection, 3)
    with pytest.raises(InputError, match=r"first stage: query q1 lists 1 unknown documents, such as 'd9'; ids must be"):
        retrieved_run(MemoryFirstStage([Passage("bamboo", "d9")]), collection, 3)


def test_a_run_is_a_stage_and_reports_name_it(collection: Collection) -> None:
    run = {"q2": ["d3", "d1", "d2"], "q1": ["d4", "d2"], "q9": ["d1"]}
    assert candidates(run, collection, 2) == {"q1": ["d4", "d2"], "q2": ["d3", "d1"]}
    assert list(candidates(run, collection, 2, limit=1)) == ["q1"]
    report = evaluate(collection, {"overlap": Reranker(OverlapScorer())}, stage=run, depth=2)
    assert (report.first_stage, report.queries, report.evaluations[0].name) == (
        "given run",
        2,
        "first stage: given run",
    )
    assert report.evaluations[1].pairs == 4
    for wrong, message in (
        ({"q1": ["d7"]}, "given run: query q1 lists 1 unknown documents"),
        ({"x": ["d1"]}, "given run: none of its queries is in small"),
        ({"q1": []}, "given run finds no candidates in small"),
    ):
        with pytest.raises(InputError, match=message):
            candidates(wrong, collection, 2)


def make_chroma(folder: Path, name: str, documents: dict[str, str]) -> None:
    client = chromadb.PersistentClient(path=folder, settings=Settings(anonymized_telemetry=False))
    made = client.create_collection(
        name, embedding_function=StaticEmbedding(), configuration={"hnsw": {"space": "cosine"}}
    )
    made.add(ids=list(documents), documents=list(documents.values()))


def test_a_chroma_collection_is_a_first_stage(collection: Collection, tmp_path: Path) -> None:
    db = tmp_path / "db"
    make_chroma(db, "notes", {id: text for id, text in DOCUMENTS.items() if id != "d5"})
    expected = {query: listed[:4] for query, listed in first_stage("static", collection, 5).items()}
    found = first_stage(f"chroma:{db}", collection, 4)
    assert found["q1"] == [id for id in expected["q1"] if id != "d5"] or found["q1"][0] == expected["q1"][0]
    assert found["q2"][0] == "d3"
    assert all(len(listed) == 4 for listed in found.values())
    assert first_stage(f"chroma:{db}#notes", collection, 4) == found
    assert first_stage(f"bm25+chroma:{db}#notes", collection, 9)["q2"][0] == "d3"
    assert stage_name(f"bm25+chroma:{db}#notes") == "bm25+chroma:db#notes"
    make_chroma(db, "other", {"d1": "bamboo", "x1": "unknown to the collection"})
    for name, message in (
        (f"chroma:{db}", "say which collection, as in .* .there is: notes, other"),
        (f"chroma:{db}#none", "say which collection, as in .* .there is: notes, other"),
        (f"chroma:{db}#other", "other: the first stage: query q1 lists 1 unknown documents, such as 'x1'; ids must be"),
        (f"chroma:{tmp_path / 'nothing'}", "there is no Chroma database in"),
    ):
        with pytest.raises(InputError, match=message):
            first_stage(name, collection, 4)
    assert not (tmp_path / "nothing").exists()


@pytest.fixture(scope="module")
def bi_encoder(build_once: BuildOnce) -> Path:
    return build_once("first-stage/bi", save_bi_encoder)


def save_bi_encoder(folder: Path) -> None:
    """Save a sentence-transformers folder around a table of token vectors, with a prompt for queries."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding as Table
    from tokenizers import Tokenizer

    from resift.models.bundled import bundled_folder

    tokenizer = Tokenizer.from_file(str(bundled_folder("static") / "tokenizer.json"))
    vectors = np.random.default_rng(7).normal(size=(tokenizer.get_vocab_size(), 8)).astype(np.float32)
    table = Table(tokenizer, embedding_weights=vectors)
    SentenceTransformer(modules=[table], device="cpu", prompts={"query": "stocks monday "}).save_pretrained(str(folder))


def test_a_sentence_transformers_folder_is_a_first_stage(collection: Collection, bi_encoder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(bi_encoder), device="cpu")
    run = first_stage(f"st:{bi_encoder}", collection, 3)
    assert run == embedding_run(
        model.encode,
        collection,
        3,
        embed_queries=lambda texts: model.encode([f"stocks monday {text}" for text in texts]),
    )
    assert run != embedding_run(model.encode, collection, 3), "the folder's own prompt is used"
    assert stage_name(f"st:{bi_encoder}") == "st:bi"


def test_a_folder_that_is_no_bi_encoder(collection: Collection, bi_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sentence-transformers bi-encoder is there"):
        first_stage(f"st:{tmp_path}", collection, 3)
    about = json.loads((bi_encoder / "config_sentence_transformers.json").read_text())
    (tmp_path / "modules.json").write_text((bi_encoder / "modules.json").read_text())
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({**about, "model_type": "CrossEncoder"}))
    with pytest.raises(InputError, match=r"no sentence-transformers bi-encoder is there"):
        first_stage(f"st:{tmp_path}", collection, 3)


@pytest.mark.parametrize(
    ("library", "stage", "extra"),
    [
        ("bm25s", "bm25", "eval"),
        ("chromadb", "chroma:db", "chroma"),
        ("sentence_transformers", "st:folder", "sentence-transformers"),
    ],
)
def test_a_missing_library_names_its_extra(library: str, stage: str, extra: str) -> None:
    check = f"""
import sys
sys.modules[{library!r}] = None
from resift import MissingExtraError
from resift.evaluation import Collection
from resift.evaluation.first_stage import first_stage
try:
    first_stage({stage!r}, Collection("x", {{"d": "text"}}, {{"q": "text"}}, {{"q": {{"d": 1}}}}), 5)
except MissingExtraError as error:
    assert "pip install 'resift[{extra}]'" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=120)
