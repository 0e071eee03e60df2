"""Documents longer than the model reads: cut, or scored window by window, and always reported."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import random_models

from resift import InputError, Reranker, TruncationWarning, load_scorer
from resift.scorer import ScorerTraits

QUERY = "panda bamboo"


@pytest.fixture(scope="module")
def folder(exported: Callable[[str], Path]) -> Path:
    return exported("bert-small")


def test_max_window_is_the_best_of_the_windows_scored_alone(folder: Path) -> None:
    text = random_models.text(400, seed=2)
    reranker = Reranker(folder, long_documents="max_window", max_length=128)
    hit = reranker.rank(QUERY, [text])[0]
    assert hit.span is not None
    assert not hit.truncated
    start, end = hit.span
    alone = Reranker(folder, max_length=128).rank(QUERY, [text[start:end]])[0]
    # A window starts and ends between tokens, so its text tokenises to itself but for a word cut in two.
    assert hit.score == pytest.approx(alone.score, abs=0.05)
    first = Reranker(folder, max_length=128, long_documents="first_window").rank(QUERY, [text])[0]
    assert hit.score >= first.score


def test_windows_are_scored_in_the_same_pass_and_counted(folder: Path) -> None:
    reranker = Reranker(folder, long_documents="max_window", max_length=64)
    stats = reranker.rank(QUERY, ["panda", random_models.text(200, 1)]).stats
    assert stats.documents == 2
    assert stats.pairs > 4
    assert stats.truncated == 0


def test_first_window_scores_as_truncate_does_without_the_warning(folder: Path) -> None:
    text = random_models.text(400, seed=2)
    with pytest.warns(TruncationWarning):
        cut = Reranker(folder, max_length=64).rank(QUERY, [text])[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = Reranker(folder, max_length=64, long_documents="first_window").rank(QUERY, [text])
    assert chosen[0] == cut
    assert chosen.stats.truncated == 1
    assert cut.span is not None
    assert cut.span[0] == 0
    assert 0 < cut.span[1] < len(text)


def test_short_documents_have_no_span(folder: Path) -> None:
    for mode in ("truncate", "max_window", "first_window"):
        hit = Reranker(folder, long_documents=mode).rank(QUERY, ["panda"])[0]  # type: ignore[arg-type]
        assert (hit.span, hit.truncated) == (None, False)


@pytest.mark.parametrize("model", ["resift:small", "resift:tiny"])
def test_the_bundled_models_read_long_documents_whole_by_default(model: str) -> None:
    text = "Nothing of note happened. " * 120 + "The oranges came from Valencia. " + "It rained. " * 90
    reranker = Reranker(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hit = reranker.rank("where did the oranges come from?", [text])[0]
    assert ScorerTraits.of(reranker.scorer).long_documents == "max_window"
    assert hit.span is not None
    assert "Valencia" in text[slice(*hit.span)]
    assert not hit.truncated


def test_other_models_cut_by_default_as_sentence_transformers_does(folder: Path) -> None:
    assert ScorerTraits.of(load_scorer(folder)).long_documents == "truncate"


def test_an_unknown_mode_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="truncate, max_window, first_window"):
        Reranker(folder, long_documents="middle")  # type: ignore[arg-type]


def test_the_start_of_a_huge_document_gives_the_same_score_as_all_of_it(folder: Path) -> None:
    """Only the beginning is tokenised when only the beginning is read; the score must be the same."""
    scorer = load_scorer(folder, max_length=64, long_documents="first_window")
    text = random_models.text(3000, seed=9)
    huge = text + " bamboo" * 200_000
    assert scorer.score(QUERY, [huge])[0] == pytest.approx(scorer.score(QUERY, [text])[0], abs=1e-5)
    spaces = "panda" + " " * 500_000 + text
    assert scorer.score(QUERY, [spaces])[0] == pytest.approx(scorer.score(QUERY, ["panda " + text])[0], abs=1e-5)
