"""Graphs that round a whole batch with one scale: said when they are loaded, with what to do about it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import random_models
from build_once import BuildOnce
from onnxruntime.quantization import quantize_dynamic

from resift import BatchWarning, Reranker, load_scorer

DOCUMENTS = random_models.documents((3, 40, 90, 8, 200, 30))


@pytest.fixture(scope="module")
def quantized(saved: Callable[[str], Path], exported: Callable[..., Path], build_once: BuildOnce) -> Path:
    """A folder as Hugging Face has them, its graph made by `quantize_dynamic`."""

    def build(folder: Path) -> None:
        for name in ("config.json", "tokenizer.json"):
            shutil.copy(saved("bert-small") / name, folder)
        quantize_dynamic(exported("bert-small") / "model.onnx", folder / "model.onnx")

    return build_once("quantized/bert-small", build)


def test_scores_that_move_with_their_batch_are_announced_at_load(quantized: Path) -> None:
    with pytest.warns(BatchWarning, match=r"model\.onnx rounds with one scale for a whole batch") as caught:
        scorer = load_scorer(quantized)
    assert caught[0].filename == __file__
    assert "batch_tokens=1" in str(caught[0].message)
    together = list(scorer.score("what eats bamboo?", DOCUMENTS))
    alone = [scorer.score("what eats bamboo?", [document])[0] for document in DOCUMENTS]
    assert together != pytest.approx(alone, abs=1e-6), "or there is nothing to warn of"


def test_one_text_at_a_time_moves_no_score_and_needs_no_warning(quantized: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", BatchWarning)
        scorer = load_scorer(quantized, batch_tokens=1)
    together = list(scorer.score("what eats bamboo?", DOCUMENTS))
    assert together == [scorer.score("what eats bamboo?", [document])[0] for document in DOCUMENTS]


@pytest.mark.parametrize("precision", ["float32", "int8", "int8-dynamic"])
def test_no_export_of_ours_is_suspected(exported: Callable[..., Path], precision: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", BatchWarning)
        assert Reranker(exported("bert-small", precision)).scorer.name
