"""Documents longer than the model reads: cut, or scored window by window, and always said so."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import random_models
from hypothesis import given
from hypothesis import strategies as st

from resift import InputError, Reranker, TruncationWarning, load_scorer
from resift.text.batches import BATCH_OVERHEAD, plan_batches, split_into_windows

QUERY = "panda bamboo"


@pytest.fixture(scope="module")
def folder(exported: Callable[[str], Path]) -> Path:
    return exported("bert-6")


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


def test_an_unknown_mode_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="truncate, max_window, first_window"):
        Reranker(folder, long_documents="middle")  # type: ignore[arg-type]


def test_the_start_of_a_huge_document_gives_the_same_score_as_all_of_it(folder: Path) -> None:
    """Only a beginning is tokenised when only a beginning is read; the score must not notice."""
    scorer = load_scorer(folder, max_length=64, long_documents="first_window")
    text = random_models.text(3000, seed=9)
    huge = text + " bamboo" * 200_000
    assert scorer.score(QUERY, [huge])[0] == pytest.approx(scorer.score(QUERY, [text])[0], abs=1e-5)
    spaces = "panda" + " " * 500_000 + text
    assert scorer.score(QUERY, [spaces])[0] == pytest.approx(scorer.score(QUERY, ["panda " + text])[0], abs=1e-5)


@given(st.integers(0, 400), st.integers(8, 100))
def test_windows_cover_every_token_and_fit(tokens: int, size: int) -> None:
    found = split_into_windows(tokens, size)
    assert all(stop - start <= size for start, stop in found)
    assert found[0][0] == 0
    assert found[-1][1] == tokens
    for (_, stop), (start, _) in pairwise(found):
        assert start <= stop, "no gap between windows"
        assert stop - start >= size // 4 or stop == tokens, "neighbours overlap by a quarter"


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 2000))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget


@given(st.lists(st.integers(1, 300), min_size=1, max_size=9), st.integers(1, 2000))
def test_no_other_cut_of_the_sorted_rows_computes_less(lengths: list[int], budget: int) -> None:
    ordered = sorted(lengths, reverse=True)

    def computed(batches: Iterable[Sequence[int]]) -> float:
        return sum(max(batch) * len(batch) + budget / BATCH_OVERHEAD for batch in batches)

    def allowed(batch: Sequence[int]) -> bool:
        return len(batch) == 1 or max(batch) * len(batch) <= budget

    ways = [
        [ordered[start:stop] for start, stop in pairwise((0, *edges, len(ordered)))]
        for count in range(len(ordered))
        for edges in combinations(range(1, len(ordered)), count)
    ]
    least = min(computed(way) for way in ways if all(map(allowed, way)))
    found = computed([lengths[row] for row in batch] for batch in plan_batches(lengths, budget))
    assert found == pytest.approx(least)
