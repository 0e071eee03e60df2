"""How well a network in training orders lists it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import batch_to_device

from resift.evaluation.measure import measure
from resift.training.mining import CandidateList

METRIC = "nDCG@10"


class HeldOut(BaseEvaluator):
    """Mean nDCG@10 over held-out lists. Candidates are shuffled by their text, so that ties flatter nobody."""

    def __init__(self, lists: Sequence[CandidateList]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in sentence-transformers
        self.lists = lists
        self.primary_metric = METRIC

    def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:
        """What the trainer calls with a CrossEncoder, telling folder and steps too; it wants a dictionary."""
        scores = logits(model, self.lists)
        qrels, run = {}, {}
        for place, (one, values) in enumerate(zip(self.lists, scores, strict=True)):
            query = str(place)
            qrels[query] = {str(number): 1 for number in range(one.positives)}
            order = sorted(range(len(values)), key=lambda n: (-values[n], one.documents[n]))
            run[query] = [str(number) for number in order]
        found = measure(qrels, run, (METRIC,))[METRIC]
        return {METRIC: sum(found.values()) / len(found)}


def logits(model: CrossEncoder, lists: Sequence[CandidateList], rows: int = 256) -> list[list[float]]:
    """The network's logits for every document of every list, as float32 gives them."""
    pairs = [(one.query, document) for one in lists for document in one.documents]
    found: list[float] = []
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(pairs), rows):
            features = batch_to_device(model.preprocess(pairs[start : start + rows]), model.device)
            found += model(features)["scores"].view(-1).float().tolist()
    cuts = iter(found)
    return [[next(cuts) for _ in one.documents] for one in lists]
