"""How well a network in training orders lists that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import batch_to_device

from resift.evaluation.metrics import measure
from resift.text.normal import normalise
from resift.training.mining import CandidateList

METRIC = "nDCG@10"


class HeldOut(BaseEvaluator):
    """Mean nDCG@10 over held-out lists. Equal scores are ordered by the documents' text, so that ties help nobody."""

    def __init__(self, lists: Sequence[CandidateList]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in sentence-transformers
        self.lists = lists
        self.primary_metric = METRIC

    def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:
        """Return nDCG@10 by its name, as the trainer wants it, which passes folder and steps too."""
        by_query = self.by_query(model)
        return {METRIC: sum(by_query.values()) / len(by_query)}

    def by_query(self, model: Any) -> dict[str, float]:
        """Return the nDCG@10 of each list, by its number; nothing where there are no lists."""
        if not self.lists:
            return {}
        scores = logits(model, self.lists)
        qrels, run = {}, {}
        for index, (candidates, values) in enumerate(zip(self.lists, scores, strict=True)):
            query = str(index)
            qrels[query] = {str(document): 1 for document in range(candidates.positives)}
            order = sorted(range(len(values)), key=lambda n: (-values[n], candidates.documents[n]))
            run[query] = [str(document) for document in order]
        return dict(measure(qrels, run, (METRIC,))[METRIC])


def logits(model: CrossEncoder, lists: Sequence[CandidateList], rows: int = 256) -> list[list[float]]:
    """Return the network's logits, in float32, for every document of every list; `rows` pairs are read at once."""
    pairs = [
        (normalise(candidates.query), normalise(document)) for candidates in lists for document in candidates.documents
    ]
    flat: list[float] = []
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(pairs), rows):
            features = batch_to_device(model.preprocess(pairs[start : start + rows]), model.device)
            flat += model(features)["scores"].view(-1).float().tolist()
    remaining = iter(flat)
    return [[next(remaining) for _ in candidates.documents] for candidates in lists]
