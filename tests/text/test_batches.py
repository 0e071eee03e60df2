"""Cutting rows into batches and documents into windows: everything is covered, within the limits, at the least cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift.text.batches import BATCH_OVERHEAD, plan_batches, split_into_windows


@given(st.integers(0, 400), st.integers(8, 100))
def test_windows_cover_every_token_and_fit(tokens: int, size: int) -> None:
    windows = split_into_windows(tokens, size)
    assert all(stop - start <= size for start, stop in windows)
    assert windows[0][0] == 0
    assert windows[-1][1] == tokens
    for (_, stop), (start, _) in pairwise(windows):
        assert start <= stop, "no gap between windows"
        assert stop - start >= size // 4 or stop == tokens, "neighbours overlap by a quarter"


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 2000))
def test_batches_hold_every_row_once_within_the_token_limit(lengths: list[int], batch_tokens: int) -> None:
    batches = plan_batches(lengths, batch_tokens)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= batch_tokens


@given(st.lists(st.integers(1, 300), min_size=1, max_size=9), st.integers(1, 2000))
def test_no_other_cut_of_the_sorted_rows_costs_less(lengths: list[int], batch_tokens: int) -> None:
    by_length = sorted(lengths, reverse=True)

    def cost(batches: Iterable[Sequence[int]]) -> float:
        return sum(max(batch) * len(batch) + batch_tokens * BATCH_OVERHEAD for batch in batches)

    def fits(batch: Sequence[int]) -> bool:
        return len(batch) == 1 or max(batch) * len(batch) <= batch_tokens

    plans = [
        [by_length[start:stop] for start, stop in pairwise((0, *edges, len(by_length)))]
        for count in range(len(by_length))
        for edges in combinations(range(1, len(by_length)), count)
    ]
    minimum = min(cost(plan) for plan in plans if all(map(fits, plan)))
    planned = cost([lengths[row] for row in batch] for batch in plan_batches(lengths, batch_tokens))
    assert planned == pytest.approx(minimum)
