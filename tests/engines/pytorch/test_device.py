"""What torch computes in, and that nobody waits for a batch before the next one is queued."""

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
def test_bfloat16_is_near_and_its_logits_are_finer(architecture: str, saved: Folder) -> None:
    folder = saved(architecture)
    exact = np.array(load_scorer(folder).score(QUERY, DOCUMENTS))
    half = np.array(load_scorer(folder, dtype="bfloat16").score(QUERY, DOCUMENTS))
    assert 0 < np.abs(half - exact).max() < 0.2 * np.ptp(exact)
    logits = torch.tensor(half, dtype=torch.float32)
    coarse = logits.bfloat16().float() == logits  # what a last layer in bfloat16 would give, all of them
    assert coarse.float().mean() < 0.5


def test_what_it_computes_in_decides_the_scores(saved: Folder) -> None:
    kinds: tuple[Dtype, ...] = ("float32", "bfloat16")
    identities = {load_scorer(saved("bert-2"), dtype=kind).identity for kind in kinds}  # type: ignore[attr-defined]
    assert len(identities) == 2


def test_other_numbers_are_refused(saved: Folder) -> None:
    with pytest.raises(InputError, match="dtype is float32 or bfloat16, not 'float16'"):
        load_scorer(saved("bert-2"), dtype="float16")  # type: ignore[arg-type]


class _Logits:
    """A batch's numbers, which say when they are asked for."""

    def __init__(self, rows: int, events: list[str]) -> None:
        self.rows, self.events = rows, events

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        self.events.append("read")
        return np.arange(self.rows, dtype=np.float64)


class _Card:
    """A network that computes elsewhere."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def max_document_tokens(self, query_tokens: int) -> int:
        return 512 - query_tokens

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:
        return query_tokens + document_tokens

    def prepare(self, _: Sequence[Ids]) -> BatchScorer:
        def run(rows: Sequence[tuple[int, Ids]]) -> _Logits:
            self.events.append("queued")
            return _Logits(len(rows), self.events)

        return run


def test_all_batches_are_queued_before_the_first_is_read() -> None:
    card = _Card()
    tokenizer = TextTokenizer.load(bundled_folder("small") / "tokenizer.json")
    Pipeline(tokenizer, card, "truncate", 64).score([Request(QUERY, DOCUMENTS)])
    batches = len(card.events) // 2
    assert batches > 2
    assert card.events == ["queued"] * batches + ["read"] * batches
