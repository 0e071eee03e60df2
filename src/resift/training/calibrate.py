"""Logits that mean log-odds: a slope and a shift fitted on judged pairs (Platt scaling)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder

from resift.evaluation import read_collection
from resift.evaluation.calibration import fit as fit  # its place for who trains
from resift.evaluation.first_stage import candidates
from resift.training.held_out import logits
from resift.training.mining import CandidateList
from resift.training.split_cross_encoder import TOKENS_IN_USE, SplitPairs

QUERIES, DEPTH = 60, 20  # of a judged collection: what a user of the first results meets


def judged_lists(spec: str) -> list[CandidateList]:
    """Return candidates of a judged collection, relevant ones first: what `relevance` is to mean.

    `spec` is FOLDER or FOLDER=STAGE, a first stage as `resift eval` names it (BM25 without one); the first 20
    candidates of up to 60 queries. Those without a judgement count as not relevant. Raises InputError.
    """
    folder, equals, stage = spec.partition("=")
    collection = read_collection(Path(folder))
    lists = []
    for query, listed in candidates(stage if equals else "bm25", collection, DEPTH, QUERIES).items():
        grades = collection.qrels[query]
        relevant = [id for id in listed if grades.get(id, 0) > 0]
        others = [id for id in listed if grades.get(id, 0) <= 0]
        texts = tuple(collection.documents[id] for id in (*relevant, *others))
        lists.append(CandidateList(collection.queries[query], texts, len(relevant)))
    return lists


def calibrate(model: CrossEncoder, lists: Sequence[CandidateList]) -> tuple[float, float]:
    """Fit on the lists and change the last layer so that it gives calibrated logits; the order stays as it was.

    A split network reads as much of a text as it will in use. Returns slope and shift.
    """
    first: Any = model[0]
    if isinstance(first, SplitPairs):
        first.set_max_length(TOKENS_IN_USE)
    flat = [score for scores in logits(model, lists) for score in scores]
    relevant = [index < judged.positives for judged in lists for index in range(len(judged.documents))]
    slope, shift = fit(flat, relevant)
    with torch.no_grad():
        if isinstance(first, SplitPairs):
            first.network.rescale(slope, shift)
        else:
            last = first.model.classifier
            last = getattr(last, "out_proj", last)  # RoBERTa's head ends in a layer of its own
            last.weight.mul_(slope)
            last.bias.mul_(slope).add_(shift)
    return slope, shift
