"""Both engines give the logits of sentence-transformers, for every architecture and in any batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import random_models
import torch
from sentence_transformers import CrossEncoder

from resift import InputError, ModelFileError, Reranker, TruncationWarning, load_scorer
from resift.export.pair import export_model
from resift.testing import check_scorer

Folder = Callable[[str], Path]
QUERY = "what eats bamboo in Zürich?"
# All lengths that matter: nothing, one word, a page, and more than the 512 tokens that a model reads.
DOCUMENTS = [*random_models.documents((1, 3, 8, 20, 20, 60, 130, 150, 300, 600)), "", "."]
TOLERANCE = 1e-4


def predict_logits(folder: Path, query: str = QUERY) -> list[float]:
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    pairs = [(query, document) for document in DOCUMENTS]
    return list(model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False).tolist())


@pytest.mark.filterwarnings("ignore::resift.TruncationWarning")
@pytest.mark.parametrize("architecture", random_models.EVERY_ARCHITECTURE)
def test_both_engines_equal_predict_truncation_included(architecture: str, saved: Folder, exported: Folder) -> None:
    expected = predict_logits(saved(architecture))
    assert np.ptp(expected) > 20 * TOLERANCE, "a model whose scores are all alike proves nothing"
    for folder in (saved(architecture), exported(architecture)):
        ranking = Reranker(folder).rank(QUERY, DOCUMENTS)
        scores = {hit.index: hit.score for hit in ranking}
        assert [scores[index] for index in range(len(DOCUMENTS))] == pytest.approx(expected, abs=TOLERANCE)
        # How many are cut depends on the tokenizer, but none fits 600 words into the limit.
        assert 1 <= ranking.stats.truncated == sum(hit.truncated for hit in ranking) <= 5


@pytest.mark.parametrize("architecture", ["bert-6", "xlm-roberta", "modernbert"])
def test_both_engines_are_valid_scorers(architecture: str, saved: Folder, exported: Folder) -> None:
    for folder in (saved(architecture), exported(architecture)):
        check_scorer(load_scorer(folder))


def test_the_bundled_model_is_a_valid_scorer(bundled: Reranker) -> None:
    check_scorer(bundled.scorer)


@pytest.mark.parametrize("model", [None, "xlm-roberta"])
@pytest.mark.filterwarnings("ignore::resift.TruncationWarning")
def test_scores_do_not_depend_on_batch_size_or_order(model: str | None, exported: Folder) -> None:
    folder = None if model is None else exported(model)
    documents = [text for text in DOCUMENTS if model or len(text.split()) < 600]  # 300 words are two of its windows
    expected = {hit.document: hit.score for hit in Reranker(folder).rank(QUERY, documents)}
    shuffled = random.Random(3).sample(documents, len(documents))
    for batch_tokens in (1, 64, 700, 100_000):
        ranking = Reranker(folder, batch_tokens=batch_tokens).rank(QUERY, shuffled)
        assert {hit.document: hit.score for hit in ranking} == pytest.approx(expected, abs=TOLERANCE)


def test_int8_weights_move_scores_little_and_keep_them_independent_of_the_batch(saved: Folder, tmp_path: Path) -> None:
    export_model(str(saved("bert-6")), tmp_path / "int8", precision="int8")
    assert (tmp_path / "int8" / "model.onnx").stat().st_size < 0.3 * (
        saved("bert-6") / "model.safetensors"
    ).stat().st_size
    scorer = load_scorer(tmp_path / "int8")
    check_scorer(scorer)
    exact = load_scorer(saved("bert-6")).score(QUERY, DOCUMENTS[:8])
    assert list(scorer.score(QUERY, DOCUMENTS[:8])) == pytest.approx(list(exact), abs=0.1)


@pytest.mark.parametrize("engine", ["onnx", "sentence-transformers"])
def test_two_labels_are_read_as_log_odds(engine: str, tmp_path: Path) -> None:
    folder = random_models.build_labels(2, tmp_path / "two")
    logits = CrossEncoder(str(folder), device="cpu").predict([(QUERY, "panda")], activation_fn=torch.nn.Identity())
    if engine == "onnx":
        export_model(str(folder), tmp_path / "onnx")
        folder = tmp_path / "onnx"
    assert load_scorer(folder).score(QUERY, ["panda"])[0] == pytest.approx(logits[0][1] - logits[0][0], abs=TOLERANCE)


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    folder = random_models.build_labels(5, tmp_path / "five")
    for attempt in (lambda: load_scorer(folder), lambda: export_model(str(folder), tmp_path / "onnx")):
        with pytest.raises(ModelFileError, match="5 labels: it is a classifier"):
            attempt()


@pytest.mark.filterwarnings("ignore::resift.TruncationWarning")
def test_the_query_is_never_cut(saved: Folder, exported: Folder) -> None:
    query = random_models.text(150, seed=5)  # longer than most documents: longest_first would cut it
    for folder in (saved("bert-6"), exported("bert-6")):
        scorer = load_scorer(folder)
        longest = scorer.score(query, [random_models.text(700, seed=1)])
        assert longest.spans[0].truncated  # type: ignore[attr-defined]
        with pytest.raises(InputError, match=r"the query has \d+ tokens, which leaves 0 for a document"):
            scorer.score(random_models.text(600, seed=5), ["panda"])


@pytest.mark.parametrize("model", ["resift:small", "resift:tiny"])
def test_the_bundled_models_read_queries_twice_as_long_as_documents(model: str) -> None:
    scorer = load_scorer(model)
    query = random_models.text(300, seed=5)
    same_text, other_text = scorer.score(query, [query, "stocks fell on monday"])
    assert same_text > other_text
    with pytest.raises(InputError, match="the query has 1200 tokens, which leaves 0 for a document"):
        scorer.score("panda " * 1200, ["panda"])


def test_max_length_shortens_what_is_read(exported: Folder) -> None:
    short = load_scorer(exported("bert-6"), max_length=64)
    assert short.score(QUERY, [random_models.text(200, 1)]).spans[0].truncated  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="between 16 and 512"):
        load_scorer(exported("bert-6"), max_length=600)


def test_truncation_warns_once_per_call_site(exported: Folder) -> None:
    reranker = Reranker(exported("bert-6"))
    with pytest.warns(TruncationWarning, match="some documents are longer") as caught:
        reranker.rank(QUERY, ["panda", random_models.text(700, 1)])
    assert caught[0].filename == __file__


async def test_truncation_warns_at_the_call_site_from_async_calls_too(exported: Folder) -> None:
    reranker, long = Reranker(exported("bert-6")), random_models.text(700, 1)
    with pytest.warns(TruncationWarning, match="some documents are longer") as from_arank:
        await reranker.arank(QUERY, ["panda", long])
    with pytest.warns(TruncationWarning, match="some documents are longer") as from_arank_many:
        await reranker.arank_many([QUERY], [["panda", long]])
    assert from_arank[0].filename == from_arank_many[0].filename == __file__


def test_stats_count_the_work(exported: Folder) -> None:
    stats = Reranker(exported("bert-6"), batch_tokens=128).rank("panda", ["bamboo", "bamboo tree", "bamboo"]).stats
    assert (stats.documents, stats.pairs, stats.batches, stats.truncated) == (3, 2, 1, 0)
    assert stats.tokens == (3 + 2) + (3 + 3)
    assert stats.padded_tokens == 2 * 6
    assert stats.padding_ratio == pytest.approx(1 / 12)
    assert set(stats.seconds) == {"tokenize", "model", "total"}


def test_an_unknown_option_is_refused_by_name(exported: Folder) -> None:
    with pytest.raises(InputError, match="has no option device; it has long_documents, max_length"):
        Reranker(exported("bert-6"), device="cuda")
