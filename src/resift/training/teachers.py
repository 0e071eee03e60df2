"""Teachers: models whose scores a student learns to give. Each is asked once, before training begins."""

from __future__ import annotations

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

from resift.errors import InputError
from resift.evaluation.nearest import encoder_kind
from resift.scorer import Request, Scorer, score_many
from resift.scoring.load import load_scorer
from resift.training.mining import CandidateList, Embed, Vectors, documents

READ = 128  # tokens of a text that a bi-encoder reads when it teaches or mines
CHUNK = 1024  # texts encoded before their vectors are packed away
MINER, BASE = "miner", "base"  # teachers that are at hand already
ACTIVE = 256  # dimensions kept of a sparse vector: the others are close to nothing

TeacherScores = list[tuple[float, ...]]
"""One number per document of every list, as the teacher's own logits."""
Judge = Callable[[Sequence[CandidateList]], Sequence[Sequence[float]]]
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a run can ask without loading a model: the bi-encoder that mines, and the network before it is trained."""

    embed: Embed
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model and how its scores count: logit = scale x score. Logits of several teachers are averaged."""

    model: str
    """A folder of a sentence-transformers bi-encoder or sparse encoder, any name `Reranker` takes, `miner`: the
    bi-encoder that found the negatives, whose vectors are known already, or `base`: the network as it is before
    training, so that it keeps what it knows where labels say nothing (learning without forgetting: Li and Hoiem 2016,
    arXiv 1606.09282).
    """
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Teacher:
        """`MODEL` or `MODEL=SCALE`. A cosine wants a scale of about 20, logits want 1.

        >>> Teacher.parse("resift:small"), Teacher.parse("encoder=20")
        (Teacher(model='resift:small', scale=1.0), Teacher(model='encoder', scale=20.0))
        """
        model, equals, scale = text.rpartition("=")
        if not equals:
            return cls(text)
        try:
            return cls(model, float(scale))
        except ValueError:
            raise InputError(f"a teacher is MODEL or MODEL=SCALE with a number, got {text!r}") from None

    def open(self, known: Known) -> Judge:
        """What scores every document of lists. Raises what the model's name raises, and InputError for `base` where
        no reranker is trained: called before mining, a wrong name costs no hours.
        """
        if self.model == MINER:
            return partial(_cosines, known.embed, scale=self.scale)
        if self.model == BASE:
            if known.judge is None:
                raise InputError("teacher base: only `resift train` has a reranker to ask; give a folder or a name")
            return partial(_scaled, known.judge, scale=self.scale)
        kind = encoder_kind(Path(self.model))
        if kind is None:
            return partial(_scaled, partial(_asked, load_scorer(self.model)), scale=self.scale)
        if kind == "SparseEncoder":
            return partial(_sparse, self.model, scale=self.scale)
        return lambda lists: _cosines(dense_embed(self.model), lists, self.scale)


def teach(
    teachers: Sequence[Teacher], judges: Sequence[Judge], lists: Sequence[CandidateList], note: Note
) -> TeacherScores:
    """The mean of the teachers' logits, list by list; `judges` are the teachers opened."""
    answers = []
    for teacher, judge in zip(teachers, judges, strict=True):
        note(f"{teacher.model} scores {sum(len(one.documents) for one in lists):,} pairs")
        answers.append(judge(lists))
    return [tuple(np.mean(scores, axis=0).tolist()) for scores in zip(*answers, strict=True)]


def _asked(scorer: Scorer, lists: Sequence[CandidateList]) -> Sequence[Sequence[float]]:
    return score_many(scorer, [Request(one.query, one.documents) for one in lists])


def _scaled(judge: Judge, lists: Sequence[CandidateList], scale: float) -> TeacherScores:
    return [tuple(scale * score for score in scores) for scores in judge(lists)]


@cache  # the bi-encoder that mines is often one of the teachers: its vectors are made once
def dense_embed(folder: str, *, read: int = READ) -> Callable[[Sequence[str]], Vectors]:
    """What embeds `read` tokens with a sentence-transformers bi-encoder: unit vectors, remembered text by text."""
    model = SentenceTransformer(folder, local_files_only=Path(folder).is_dir())
    model.max_seq_length = read
    if half_is_faster(model.device):
        model.bfloat16()
    known: dict[str, Vectors] = {}

    def embed(texts: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            found = model.encode(new, batch_size=32, convert_to_tensor=True, show_progress_bar=False)
            unit = torch.nn.functional.normalize(found.float(), dim=1).cpu().numpy()
            known.update(zip(new, unit, strict=True))
        return np.stack([known[text] for text in texts])

    return embed


def _cosines(embed: Embed, lists: Sequence[CandidateList], scale: float) -> TeacherScores:
    texts = documents(lists)
    rows = {text: row for row, text in enumerate(texts)}
    vectors, asked = embed(texts), embed([one.query for one in lists])
    return [
        tuple((scale * (vectors[[rows[text] for text in one.documents]] @ query)).tolist())
        for one, query in zip(lists, asked, strict=True)
    ]


def _sparse(folder: str, lists: Sequence[CandidateList], scale: float) -> TeacherScores:
    model = SparseEncoder(folder, local_files_only=True)
    model.max_seq_length = READ
    if half_is_faster(model.device):
        model.bfloat16()
    texts = documents(lists)
    rows = {text: row for row, text in enumerate(texts)}
    read, asked = _active(model, texts), _active(model, [one.query for one in lists])
    weights = np.zeros(model.get_embedding_dimension() or 0, np.float32)
    answers = []
    for one, (terms, values) in zip(lists, asked, strict=True):
        weights[terms] = values
        found = (read[rows[text]] for text in one.documents)
        answers.append(tuple(float(scale * (weights[terms] @ values)) for terms, values in found))
        weights[terms] = 0
    return answers


def _active(model: Any, texts: Sequence[str]) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Of each text the strongest dimensions and their weights."""
    found = []
    for start in range(0, len(texts), CHUNK):
        chunk = list(texts[start : start + CHUNK])
        vectors: list[Tensor] = model.encode(
            chunk, convert_to_sparse_tensor=False, convert_to_tensor=False, show_progress_bar=False
        )
        for vector in vectors:
            values, terms = vector.float().topk(ACTIVE)
            found.append((terms.cpu().numpy(), values.cpu().numpy()))
    return found


def half_is_faster(device: torch.device) -> bool:
    """Whether bfloat16 is worth its rounding: on cards and on CPUs that multiply it faster than float32."""
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
