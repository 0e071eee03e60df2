"""One rule of reading for every way in: scorers, embedders, first stages, training.

Every way reads the text of `odd_letters` as its usual spelling, and gives it back as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import late_models
import numpy as np
import pytest
import random_language_models
from build_once import BuildOnce
from numpy.typing import NDArray
from odd_letters import OTHER, SPELLED, STORED, TEXT, TEXTS

from resift import (
    Cached,
    DenseEmbedder,
    MemoryFirstStage,
    Reranker,
    StaticEmbedder,
    TruncationWarning,
    TwoStageSearch,
    load_scorer,
)
from resift.bulk import BulkJob, score_files
from resift.evaluation import Collection
from resift.scorer import Request, Scale, Scorer, ScorerBase, Scores, Span
from resift.text.normal import normalise


def test_the_texts_of_this_file() -> None:
    assert normalise(TEXT) == SPELLED
    for stored in (STORED, SPELLED):
        stored.encode()


# Scorers

ENGINES = ("resift:small", "resift:tiny", "kept states", "onnx", "sentence-transformers", "late interaction", "lm")


@pytest.fixture(scope="module")
def scorer_of(
    saved: Callable[[str], Path], exported: Callable[..., Path], build_once: BuildOnce
) -> Callable[[str], Scorer]:
    """engine → a scorer of it."""

    def scorer(engine: str) -> Scorer:
        match engine:
            case "kept states":
                return load_scorer("resift:small", keep_states=10**6)
            case "onnx":
                return load_scorer(exported("bert-small"))
            case "sentence-transformers":
                return load_scorer(saved("bert-small"), device="cpu")
            case "late interaction":
                folder = build_once("late-interaction/pylate", late_models.build_pylate)
                return load_scorer(f"colbert:{folder}", device="cpu")
            case "lm":
                name = "Qwen3-Reranker-0.6B"
                folder = build_once(f"saved/{name}", partial(random_language_models.build, name))
                return load_scorer(f"lm:{folder}", device="cpu")
            case _:
                return load_scorer(engine)

    return scorer


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_reads_the_usual_letters(engine: str, scorer_of: Callable[[str], Scorer]) -> None:
    scorer = scorer_of(engine)
    first, second, other = scorer.score("what eats bamboo?", TEXTS)
    assert first == pytest.approx(second, abs=1e-5)
    assert abs(first - other) > 1e-3, "a model to which all is alike proves nothing"
    documents = ["a panda in the office", OTHER]
    assert list(scorer.score(TEXT, documents)) == pytest.approx(list(scorer.score(SPELLED, documents)), abs=1e-5)
    ranking = Reranker(scorer).rank(TEXT, TEXTS)
    assert sorted(hit.document for hit in ranking) == sorted(TEXTS)
    assert ranking.query == TEXT


class StrictScorer(ScorerBase):
    """A scorer of a caller's own, whose tokenizer takes no half of a pair."""

    name = "strict"
    scale = Scale.SIMILARITY
    identity = "strict 1"

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        texts = [(query.encode(), [text.encode() for text in documents]) for query, documents in requests]
        spans = {0: Span(2, 5, truncated=True)}
        return [Scores(tuple(float(b"panda" in text) for text in documents), spans=spans) for _, documents in texts]


def test_scorers_of_callers_get_what_any_tokenizer_takes(tmp_path: Path) -> None:
    documents = ["\ud835\udc00 fox \ud835", "panda \udc00"]
    with pytest.warns(TruncationWarning):
        ranking = Reranker(StrictScorer()).rank("x \ud835", documents)
    assert [hit.document for hit in ranking] == documents[::-1]
    assert documents[0][slice(*(ranking[1].span or ()))] == "fox"
    (tmp_path / "in.jsonl").write_text(json.dumps({"query": "x \ud835", "document": documents}))
    score_files(BulkJob(tmp_path / "in.jsonl", tmp_path / "out.jsonl"), StrictScorer())
    assert json.loads((tmp_path / "out.jsonl").read_text())["score"] == [0, 1]


def test_the_case_of_the_report(bundled: Reranker) -> None:
    documents = [
        "The \ufb01nancial o\ufb03ce is on the second \ufb02oor.",
        "The financial office is on the second floor.",
        "The canteen is on the second floor.",
    ]
    ranking = bundled.rank("where is the financial office?", documents)
    assert [hit.index for hit in ranking] == [0, 1, 2]
    assert ranking[0].score == pytest.approx(ranking[1].score, abs=1e-5)
    assert ranking[1].score > ranking[2].score + 2
    assert ranking[0].document is documents[0]


def test_a_span_lies_in_the_callers_text() -> None:
    long = f"{OTHER} " * 60 + "The \uff50\uff41\uff4e\uff44\uff41s of the zoo eat b\u00adamboo. " + f"{OTHER} " * 60
    (hit,) = Reranker(long_documents="max_window", max_length=40).rank("what do pandas eat?", [long])
    assert hit.span is not None
    assert "\uff50\uff41\uff4e\uff44\uff41s of the zoo eat b\u00adamboo." in long[slice(*hit.span[:2])]


def test_the_cache_keeps_both_texts_apart() -> None:
    scorer = Cached(load_scorer("resift:tiny"))
    expected = list(load_scorer("resift:tiny").score("what eats bamboo?", TEXTS))
    for hits in (0, 3):
        scores = scorer.score("what eats bamboo?", TEXTS)
        assert list(scores) == pytest.approx(expected, abs=1e-5)
        assert scores.usage.cache_hits == hits


# Vectors and first stages


@pytest.fixture(scope="module")
def transformer(saved: Callable[[str], Path], build_once: BuildOnce) -> Path:
    """A sentence-transformers folder around a network."""

    def save(folder: Path) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

        network = Transformer(str(saved("bert-small")))
        pooling = Pooling(network.get_embedding_dimension(), "mean")
        SentenceTransformer(modules=[network, pooling], device="cpu").save_pretrained(str(folder))

    return build_once("text/transformer", save)


@pytest.fixture(scope="module")
def bi_encoder(build_once: BuildOnce) -> Path:
    return build_once("text/bi-encoder", save_bi_encoder)


def save_bi_encoder(folder: Path) -> None:
    """Save a sentence-transformers folder around a table of random vectors: equal words are near each other."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding as Table
    from tokenizers import Tokenizer

    from resift.models.bundled import bundled_folder

    tokenizer = Tokenizer.from_file(str(bundled_folder("static") / "tokenizer.json"))
    vectors = np.random.default_rng(7).normal(size=(tokenizer.get_vocab_size(), 8)).astype(np.float32)
    SentenceTransformer(modules=[Table(tokenizer, embedding_weights=vectors)], device="cpu").save_pretrained(
        str(folder)
    )


def embed_with(way: str, table: Path, transformer: Path) -> Callable[[Sequence[str]], Any]:
    match way:
        case "static":
            return StaticEmbedder().embed
        case "dense":
            return DenseEmbedder().embed
        case "langchain":
            from langchain_resift import ResiftEmbeddings

            return lambda texts: ResiftEmbeddings().embed_documents(list(texts))
        case "llama-index":
            from llama_index.embeddings.resift import ResiftEmbedding

            return lambda texts: ResiftEmbedding().get_text_embedding_batch(list(texts))
        case "chroma":
            from resift.chroma import StaticEmbedding

            return lambda texts: StaticEmbedding()(list(texts))
        case "teacher":
            from resift.training.teachers import dense_embed

            return dense_embed(str(transformer))
        case _:
            from resift.training.students import embed, open_student

            return partial(embed, open_student(str(table)).model)


@pytest.mark.parametrize("way", ["static", "dense", "langchain", "llama-index", "chroma", "teacher", "student"])
def test_every_embedder_reads_the_usual_letters(way: str, bi_encoder: Path, transformer: Path) -> None:
    first, second, other = (np.asarray(vector) for vector in embed_with(way, bi_encoder, transformer)(TEXTS))
    assert first == pytest.approx(second, abs=1e-5)
    assert first != pytest.approx(other, abs=1e-3)


def first_stage_with(way: str, folder: Path) -> Callable[[Collection], Any]:
    from resift.evaluation.first_stage import first_stage
    from resift.evaluation.nearest import embedding_run

    def strict(texts: Sequence[str]) -> NDArray[np.float32]:
        for text in texts:
            text.encode()  # as all that is sent somewhere
        return StaticEmbedder().embed(texts)

    if way == "function":
        return lambda collection: embedding_run(strict, collection, 3)
    return lambda collection: first_stage(f"st:{folder}" if way == "st" else way, collection, 3)


@pytest.mark.parametrize("way", ["bm25", "static", "dense", "st", "function"])
def test_every_first_stage_of_an_evaluation_finds_it(way: str, bi_encoder: Path) -> None:
    documents = {"other": OTHER, "text": TEXT, "fox": "A red fox hunts mice."}
    collection = Collection("c", documents, {"q": "pandas near an office eat bamboo", "r": TEXT}, {"q": {"text": 1}})
    run = first_stage_with(way, bi_encoder)(collection)
    assert [run[query][0] for query in ("q", "r")] == ["text", "text"]


def test_search_in_memory_and_in_chroma() -> None:
    import chromadb

    from resift.chroma import ChromaFirstStage, StaticEmbedding

    client: Any = chromadb.EphemeralClient()
    made = client.get_or_create_collection("every-way-in", embedding_function=StaticEmbedding())
    made.upsert(ids=["a", "b"], documents=[STORED, OTHER])
    for stage in (MemoryFirstStage([TEXT, OTHER]), ChromaFirstStage(made)):
        search = TwoStageSearch(stage, Reranker("resift:tiny"))
        for query in ("what eats bamboo?", TEXT):
            assert search.search(query)[0].document.text in (TEXT, STORED)


# Training


def test_what_is_learned_is_what_will_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from resift.training import TrainingPair, distill_first_stage, first_stage, reranker, train_reranker

    class LearnedError(Exception):
        pass

    def stop(*arguments: Any, **_: Any) -> None:
        raise LearnedError(next(argument for argument in arguments if isinstance(argument, list)))

    given = [TrainingPair(TEXT, TEXT, (OTHER, SPELLED, TEXT)), TrainingPair(OTHER, OTHER)]
    learned = [TrainingPair(SPELLED, SPELLED, (OTHER,)), TrainingPair(OTHER, OTHER)]
    monkeypatch.setattr(reranker, "build", lambda _: None)
    monkeypatch.setattr(reranker, "own_embed", lambda _: StaticEmbedder().embed)
    monkeypatch.setattr(reranker, "load_or_prepare_data", stop)
    monkeypatch.setattr(first_stage, "claim_folder", lambda *arguments: stop(list(arguments[3])))
    for train in (train_reranker, distill_first_stage):
        with pytest.raises(LearnedError) as caught:
            train(given, tmp_path / train.__name__)
        assert caught.value.args == (learned,)
    assert given[0].positive == TEXT


def test_lists_are_scored_in_training_as_in_use(saved: Callable[[str], Path]) -> None:
    from sentence_transformers import CrossEncoder

    from resift.training.held_out import logits
    from resift.training.mining import CandidateList

    model = CrossEncoder(str(saved("bert-small")), device="cpu")
    (scores,) = logits(model, [CandidateList(TEXT, tuple(TEXTS))])
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert scores[0] != pytest.approx(scores[2], abs=1e-5)
