"""The work that padding and batching cost on a fixed input, counted instead of timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import random_models

from resift import Reranker

LENGTHS = tuple(20 + (7 * index * index) % 180 for index in range(100))
"""100 passages of 20 to 199 words, in no order."""


@pytest.mark.parametrize(
    ("model", "batch_tokens", "max_padding", "max_batches"),
    [
        ("bert-small", 512, 0.03, 42),  # what is counted depends on lengths alone, and a small network has them sooner
        ("resift:small", 2048, 0.05, 15),
        ("bert-small", 8192, 0.11, 7),
    ],
)
def test_padding_stays_small_and_batches_few(
    exported: Callable[[str], Path], model: str, batch_tokens: int, max_padding: float, max_batches: int
) -> None:
    reranker = Reranker(
        model if model.startswith("resift:") else exported(model),
        batch_tokens=batch_tokens,
        long_documents="first_window",
    )
    stats = reranker.rank("what eats bamboo", random_models.documents(LENGTHS)).stats
    assert stats.pairs == len(LENGTHS)
    assert 0 < stats.padding_ratio < max_padding
    assert stats.batches <= max_batches
    # No more tokens in a batch than the budget allows.
    assert stats.batches >= stats.padded_tokens / batch_tokens


def test_equal_lengths_cost_no_padding() -> None:
    stats = Reranker().rank("panda", [f"bamboo {number}" for number in range(10, 60)]).stats
    assert stats.padding_ratio == 0
