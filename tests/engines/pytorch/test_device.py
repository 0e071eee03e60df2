"""The dtype that torch computes in, and that all batches are queued before the first result is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
import torch
from numpy.typing import NDArray

from resift import InputError, load_scorer
from resift.engines.common.pipeline import BatchScorer, Counts, Pipeline
from resift.models.bundled import bundled_folder
from resift.models.options import Dtype
from resift.scorer import Request
from resift.text.tokenizer import Ids, TextTokenizer

Folder = Callable[[str], Path]
QUERY = "what eats bamboo in Zürich?"
DOCUMENTS = random_models.documents((8, 20, 30, 45, 60, 80, 100, 130) * 4)


@pytest.mark.parametrize("architecture", ["bert-2", "xlm-roberta", "modernbert"])
def test_bfloat16_scores_are_close_to_float32_and_logits_are_not_rounded(architecture: str, saved: Folder) -> None:
    folder = saved(architecture)
    exact = np.array(load_scorer(folder).score(QUERY, DOCUMENTS))
    half = np.array(load_scorer(folder, dtype="bfloat16").score(QUERY, DOCUMENTS))
    assert 0 < np.abs(half - exact).max() < 0.2 * np.ptp(exact)
    logits = torch.tensor(half, dtype=torch.float32)
    rounded = logits.bfloat16().float() == logits  # would be true of all, were the last layer in bfloat16 too
    assert rounded.float().mean() < 0.5


def test_the_dtype_is_part_of_the_identity(saved: Folder) -> None:
    dtypes: tuple[Dtype, ...] = ("float32", "bfloat16")
    identities = {load_scorer(saved("bert-2"), dtype=dtype).identity for dtype in dtypes}  # type: ignore[attr-defined]
    assert len(identities) == 2


def test_another_dtype_is_refused(saved: Folder) -> None:
    with pytest.raises(InputError, match="dtype is float32 or bfloat16, not 'float16'"):
        load_scorer(saved("bert-2"), dtype="float16")  # type: ignore[arg-type]


class _Logits:
    """The logits of a batch, which record when they are read."""

    def __init__(self, rows: int, events: list[str]) -> None:
        self.rows, self.events = rows, events

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        self.events.append("read")
        return np.arange(self.rows, dtype=np.float64)


class _GpuNetwork:
    """A network that records when a batch is queued."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def max_document_tokens(self, query_tokens: int) -> int:
        return 512 - query_tokens

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:
        return query_tokens + document_tokens

    def prepare(self, _: Sequence[Ids]) -> BatchScorer:
        def score_batch(rows: Sequence[tuple[int, Ids]]) -> _Logits:
            self.events.append("queued")
            return _Logits(len(rows), self.events)

        return score_batch


def test_all_batches_are_queued_before_the_first_is_read() -> None:
    network = _GpuNetwork()
    tokenizer = TextTokenizer.load(bundled_folder("small") / "tokenizer.json")
    Pipeline(tokenizer, network, "truncate", 64).score([Request(QUERY, DOCUMENTS)])
    batches = len(network.events) // 2
    assert batches > 2
    assert network.events == ["queued"] * batches + ["read"] * batches
