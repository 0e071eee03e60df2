"""Logits that mean log-odds: a slope and a shift fitted on judged pairs (Platt scaling)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from sklearn.linear_model import LogisticRegression

from resift.errors import InputError
from resift.training.held_out import logits
from resift.training.mining import CandidateList
from resift.training.networks import SplitPairs


def fit(scores: Sequence[float], relevant: Sequence[bool]) -> tuple[float, float]:
    """Slope and shift that make sigmoid(slope x score + shift) the probability of being relevant.

    Platt 1999, without his smoothing of labels. Raises InputError where all labels are the same, or where a higher
    score means less relevant.
    """
    if len(set(relevant)) < 2:
        raise InputError(f"{len(relevant)} pairs, all of one kind: calibration needs relevant ones and others")
    found = LogisticRegression(C=np.inf).fit(np.array(scores)[:, None], np.array(relevant))
    slope, shift = float(found.coef_[0, 0]), float(found.intercept_[0])
    if slope <= 0:
        raise InputError(f"slope {slope:.3f}: a higher score means less relevant here, so no calibration is possible")
    return slope, shift


def calibrate(model: CrossEncoder, lists: Sequence[CandidateList]) -> tuple[float, float]:
    """Fits on the lists and changes the network's last layer so that it answers calibrated logits. The order of
    documents stays what it was. Returns slope and shift.
    """
    found = logits(model, lists)
    flat = [score for scores in found for score in scores]
    relevant = [place < one.positives for one in lists for place in range(len(one.documents))]
    slope, shift = fit(flat, relevant)
    with torch.no_grad():
        first: Any = model[0]
        if isinstance(first, SplitPairs):
            first.network.slope.mul_(slope)
            first.network.reader.scale.mul_(slope)
            first.network.reader.vote.mul_(slope)
            first.network.bias.mul_(slope).add_(shift)
        else:
            last = first.model.classifier
            last = getattr(last, "out_proj", last)  # RoBERTa's head ends in a layer of its own
            last.weight.mul_(slope)
            last.bias.mul_(slope).add_(shift)
    return slope, shift
