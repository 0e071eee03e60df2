"""Teachers: models whose scores are learned. Each scores its lists once, before training begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer, SparseEncoder
from torch import Tensor

from resift._util.arguments import number
from resift.engines.hub import check_available
from resift.errors import InputError
from resift.evaluation.nearest import encoder_kind
from resift.models.contents import describe_folder
from resift.scorer import Request, Scorer, score_many
from resift.scoring.load import load_scorer
from resift.text.normal import normalise_all
from resift.training.log import Log
from resift.training.mining import CandidateList, Embed, Vectors, documents

TEACHER_TOKENS = 128  # of a text that a bi-encoder or a sparse encoder reads when it teaches or mines
TEXTS_PER_CALL = 1024  # encoded before only their strongest dimensions are kept
DIMENSIONS_KEPT = 256  # of a sparse vector: the others are close to nothing
MINER, BASE = "miner", "base"  # names of teachers that are loaded already

TeacherScores = list[tuple[float, ...]]
"""One number per document of every list, as the teacher's own logits."""
ListScorer = Callable[[Sequence[CandidateList]], Sequence[Sequence[float]]]
"""Lists to one number per document of every list."""


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """What can teach without being loaded: the bi-encoder that mines, and the reranker before it is trained."""

    embed: Embed
    score_lists: ListScorer | None = None


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model and how its scores count: logit = scale x score. Logits of several teachers are averaged.

    Args:
        model: A folder of a sentence-transformers bi-encoder or sparse encoder, or any name `Reranker` takes. Two
            names stand for models that are loaded already: `miner`, the bi-encoder that mines the negatives, and
            `base`, the reranker as it is before training, so that it keeps what it knows where labels say nothing
            (learning without forgetting: Li and Hoiem 2016, arXiv 1606.09282).
        scale: What scores are multiplied with. A cosine needs about 20, logits need 1.

    """

    model: str
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Teacher:
        """Read `MODEL` or `MODEL=SCALE`.

        >>> Teacher.parse("resift:small"), Teacher.parse("encoder=20")
        (Teacher(model='resift:small', scale=1.0), Teacher(model='encoder', scale=20.0))

        Args:
            text: The teacher's model, perhaps with its scale.

        Returns:
            The teacher, which is not loaded yet.

        Raises:
            InputError: What stands behind the last `=` is no number.

        """
        model, equals, scale = text.rpartition("=")
        if not equals:
            return cls(text)
        try:
            return cls(model, float(scale))
        except ValueError:
            raise InputError(f"a teacher is MODEL or MODEL=SCALE with a number, got {text!r}") from None

    def __post_init__(self) -> None:
        if not math.isfinite(number("scale", self.scale)):
            raise InputError(f"the scale of a teacher must be a finite number, got {self.scale} for {self.model!r}")

    def list_scorer(self, loaded: LoadedModels) -> ListScorer:
        """Return the function that scores every document of lists.

        Call it before mining, so that a wrong name costs no hours. Raises what the model's name raises, and
        InputError for `base` where no reranker is trained.
        """
        if self.model == MINER:
            return partial(_cosines, loaded.embed, scale=self.scale)
        if self.model == BASE:
            if loaded.score_lists is None:
                raise InputError("teacher base: only `resift train` has a reranker to ask; give a folder or a name")
            return partial(_scale, loaded.score_lists, scale=self.scale)
        kind = encoder_kind(Path(self.model))
        if kind is None:
            return partial(_scale, partial(_score_with, load_scorer(self.model)), scale=self.scale)
        if kind == "SparseEncoder":
            return partial(_sparse_products, self.model, scale=self.scale)
        return lambda lists: _cosines(dense_embed(self.model), lists, self.scale)


def average_scores(
    teachers: Sequence[Teacher], scorers: Sequence[ListScorer], lists: Sequence[CandidateList], log: Log
) -> TeacherScores:
    """Return the mean of the teachers' logits for every document; `scorers` are the teachers' list scorers."""
    scores = []
    for teacher, score_lists in zip(teachers, scorers, strict=True):
        log(f"{teacher.model} scores {sum(len(candidates.documents) for candidates in lists):,} pairs")
        scores.append(score_lists(lists))
    return [tuple(np.mean(of_list, axis=0).tolist()) for of_list in zip(*scores, strict=True)]


def _score_with(scorer: Scorer, lists: Sequence[CandidateList]) -> Sequence[Sequence[float]]:
    return score_many(scorer, [Request(candidates.query, candidates.documents) for candidates in lists])


def _scale(score_lists: ListScorer, lists: Sequence[CandidateList], scale: float) -> TeacherScores:
    return [tuple(scale * score for score in scores) for scores in score_lists(lists)]


@cache  # the bi-encoder that mines is often one of the teachers: its vectors are computed once
def dense_embed(folder: str, *, tokens: int = TEACHER_TOKENS) -> Callable[[Sequence[str]], Vectors]:
    """Return a function from texts to unit vectors of a sentence-transformers bi-encoder, which reads `tokens` of each.

    Vectors are remembered text by text.
    """
    contents = describe_folder(Path(folder)) if Path(folder).is_dir() else None
    if contents is not None and contents.kind in ("reranker", "classifier", "late-interaction"):
        raise InputError(f"{folder} is no bi-encoder: it holds {contents.what}")
    if contents is None:
        check_available(folder)
    model = SentenceTransformer(folder, local_files_only=contents is not None)
    model.max_seq_length = tokens
    if bfloat16_is_faster(model.device):
        model.bfloat16()
    known: dict[str, Vectors] = {}

    def embed(texts: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            vectors = model.encode(normalise_all(new), batch_size=32, convert_to_tensor=True, show_progress_bar=False)
            unit = torch.nn.functional.normalize(vectors.float(), dim=1).cpu().numpy()
            known.update(zip(new, unit, strict=True))
        return np.stack([known[text] for text in texts])

    return embed


def _cosines(embed: Embed, lists: Sequence[CandidateList], scale: float) -> TeacherScores:
    texts = documents(lists)
    rows = {text: row for row, text in enumerate(texts)}
    vectors, queries = embed(texts), embed([candidates.query for candidates in lists])
    return [
        tuple((scale * (vectors[[rows[text] for text in candidates.documents]] @ query)).tolist())
        for candidates, query in zip(lists, queries, strict=True)
    ]


def _sparse_products(folder: str, lists: Sequence[CandidateList], scale: float) -> TeacherScores:
    model = SparseEncoder(folder, local_files_only=True)
    model.max_seq_length = TEACHER_TOKENS
    if bfloat16_is_faster(model.device):
        model.bfloat16()
    texts = documents(lists)
    rows = {text: row for row, text in enumerate(texts)}
    encoded = _strongest_dimensions(model, texts)
    queries = _strongest_dimensions(model, [candidates.query for candidates in lists])
    weights = np.zeros(model.get_embedding_dimension() or 0, np.float32)
    scores = []
    for candidates, (query_terms, query_values) in zip(lists, queries, strict=True):
        weights[query_terms] = query_values
        vectors = (encoded[rows[text]] for text in candidates.documents)
        scores.append(tuple(float(scale * (weights[terms] @ values)) for terms, values in vectors))
        weights[query_terms] = 0
    return scores


def _strongest_dimensions(model: Any, texts: Sequence[str]) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Return of each text's sparse vector the strongest dimensions and their weights."""
    strongest = []
    for start in range(0, len(texts), TEXTS_PER_CALL):
        chunk = normalise_all(texts[start : start + TEXTS_PER_CALL])
        vectors: list[Tensor] = model.encode(
            chunk, convert_to_sparse_tensor=False, convert_to_tensor=False, show_progress_bar=False
        )
        for vector in vectors:
            values, terms = vector.float().topk(DIMENSIONS_KEPT)
            strongest.append((terms.cpu().numpy(), values.cpu().numpy()))
    return strongest


def bfloat16_is_faster(device: torch.device) -> bool:
    """Return whether bfloat16 is worth its rounding: on cards and CPUs that multiply it faster than float32."""
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
