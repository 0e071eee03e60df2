"""A runtime that computes a bundled model wrongly is noticed at load."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resift import DenseEmbedder, ModelFileError, load_scorer
from resift.engines.common.known_scores import TOLERANCE
from resift.engines.common.session import Session
from resift.models.bundled import KNOWN_SCORES, KNOWN_SCORES_DOCUMENTS, KNOWN_SCORES_QUERY, bundled_folder

RIGHT_RUNTIMES_DIFFER_BY = 0.03  # ONNX Runtime 1.21.1 to 1.32


@pytest.mark.parametrize("model", KNOWN_SCORES)
def test_the_known_scores_are_the_models(model: str) -> None:
    scores = load_scorer(f"resift:{model}").score(KNOWN_SCORES_QUERY, KNOWN_SCORES_DOCUMENTS)
    assert list(scores) == pytest.approx(KNOWN_SCORES[model], abs=RIGHT_RUNTIMES_DIFFER_BY)
    assert RIGHT_RUNTIMES_DIFFER_BY < TOLERANCE


def spoil_shorter_rows(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let every session change what it gives for the rows after the first, as ONNX Runtime 1.20 does."""
    run = Session.run

    def spoiled(self: Session, names: Any, inputs: Any) -> list[np.ndarray]:
        outputs = [np.array(output) for output in run(self, names, inputs)]
        for output in outputs:
            output[1:] = change(output[1:])
        return outputs

    monkeypatch.setattr(Session, "run", spoiled)


@pytest.mark.parametrize("model", KNOWN_SCORES)
@pytest.mark.parametrize("change", [lambda rows: rows * 0.5, lambda rows: rows * np.nan, lambda rows: rows * 0])
def test_wrong_numbers_are_noticed_at_load(model: str, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_shorter_rows(monkeypatch, change)
    with pytest.raises(ModelFileError, match=rf"resift:{model} gives .* onnxruntime \d.* pip install -U onnxruntime"):
        load_scorer(f"resift:{model}")


def test_a_folder_elsewhere_with_the_same_files_has_no_known_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights may have been trained on: only NaN is noticed there."""
    folder = shutil.copytree(bundled_folder("small"), tmp_path / "model")
    spoil_shorter_rows(monkeypatch, lambda rows: rows * 0.7)
    load_scorer(folder)
    monkeypatch.undo()
    spoil_shorter_rows(monkeypatch, lambda rows: rows * np.nan)
    with pytest.raises(ModelFileError, match=r"reader.onnx can't be read as .*two finite numbers belong"):
        load_scorer(folder)


def test_another_vector_beside_a_longer_text_is_noticed_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_shorter_rows(monkeypatch, lambda rows: rows[:, ::-1])
    with pytest.raises(ModelFileError, match="gives a text another vector beside a longer one"):
        DenseEmbedder()
