"""Learning a teacher's similarities between all texts of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, normalize

from resift.training.mining import Vectors

SCALE = 20.0  # of cosines before the softmax: sentence-transformers' own default for contrastive losses
WEIGHT = 2.0  # beside a contrastive loss; chosen by measurement
MASKED_SELF = -1e4  # logit of a text's similarity to itself, which says nothing and would outweigh all others


class SimilaritiesLoss(torch.nn.Module):
    """KL divergence from the teacher's distribution to the student's, of each text over the others of its batch.

    sentence-transformers distils lists (`DistillKLDivLoss`) and vectors (`EmbedDistillLoss`), but not the matrix of
    a batch, which has a similarity for every two texts and fits a student of any dimensions. The label of a text is its
    row in `vectors`: the teacher's unit vectors, (texts, dimensions).
    """

    def __init__(self, model: SentenceTransformer, vectors: Vectors) -> None:
        super().__init__()
        self.model = model
        self._vectors = torch.from_numpy(vectors)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of a batch of texts; `labels` are their rows."""
        (features,) = sentence_features
        learned = normalize(self.model(features)["sentence_embedding"], dim=1)
        taught = normalize(self._vectors[labels.cpu()].to(learned), dim=1)
        target = _distribution(taught)
        return WEIGHT * kl_div(_distribution(learned), target, log_target=True, reduction="batchmean")

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings, for the trainer's records."""
        return {"scale": SCALE, "weight": WEIGHT}


def _distribution(vectors: Tensor) -> Tensor:
    diagonal = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    return log_softmax((SCALE * vectors @ vectors.T).masked_fill(diagonal, MASKED_SELF), dim=1)
