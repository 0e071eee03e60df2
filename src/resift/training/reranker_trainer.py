"""The training of a reranker: listwise, by sentence-transformers' `CrossEncoderTrainer`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_model
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import ListNetLoss
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from resift.evaluation.metrics import Comparison, compare
from resift.training.held_out import METRIC, HeldOut
from resift.training.log import Log
from resift.training.mining import CandidateList
from resift.training.recipe import Recipe, Sizes
from resift.training.reranker_data import RerankerData
from resift.training.split_cross_encoder import SplitPairs
from resift.training.teachers import TeacherScores, bfloat16_is_faster
from resift.training.trainer import WholeCheckpoints, WithoutModelCard, last_checkpoint, log_progress, shared_arguments

CHECKPOINTS = "checkpoints"
CHECKS = 10  # checkpoints and evaluations in a run
WARMUP = 0.05  # share of the steps
MIN_SHARE = 1e-4  # of the target that even the worst document gets: its logarithm must be finite


NEARLY_ALL = 0.98  # nDCG@10: lists that are in order before training
NO_CHANGE = 0.005  # of nDCG@10: below it, a run of few steps has taught nothing
FEW_STEPS = 50


class HeldOutFigures(NamedTuple):
    """Mean nDCG@10 on the held-out lists, 0 to 1; NaN where no list is held out."""

    before: float
    after: float

    def in_words(self) -> str:
        """Return both figures in words, or that there are none.

        >>> HeldOutFigures(0.5, 0.75).in_words(), HeldOutFigures(math.nan, math.nan).in_words()
        ('held-out nDCG@10 0.500 before, 0.750 after', 'nothing was held out to measure on')
        """
        if math.isnan(self.before):
            return "nothing was held out to measure on"
        return f"held-out {METRIC} {self.before:.3f} before, {self.after:.3f} after"

    def to_dict(self) -> dict[str, float | None]:
        """Return both figures as JSON holds them: None where no list is held out."""
        return {name: None if math.isnan(figure) else figure for name, figure in self._asdict().items()}


@dataclass(frozen=True, slots=True)
class Training:
    """What a run was, and what came of it."""

    sizes: Sizes
    """The settings that were chosen by the number of queries, or given."""
    steps: int
    held_out: HeldOutFigures
    comparison: Comparison | None
    """The trained network against the one before, on the held-out lists; None where no list is held out."""

    @property
    def verdict(self) -> str:
        """One sentence: whether it learned, and what to do if not."""
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}"
        found = self.comparison
        if found is None:
            return f"{steps}; no list was held out, so nothing says whether it learned"
        figures = f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}] on {found.queries} held-out queries"
        if self.steps < FEW_STEPS and found.difference < NO_CHANGE:
            return f"{steps} teach{'' if self.steps > 1 else 'es'} nothing ({figures}): give more pairs or --epochs"
        if self.held_out.before >= NEARLY_ALL and found.difference < NO_CHANGE:
            return (
                f"nothing left to gain on these lists ({figures}): the model orders them already; "
                "give more --negatives, or measure on your own questions with resift eval"
            )
        ending = {"better": "it learned", "worse": "it is worse than before: keep the model that you started from"}
        return f"{figures}: {ending.get(found.verdict, 'no clear difference: give more pairs, or keep the old model')}"


def train(model: CrossEncoder, data: RerankerData, recipe: Recipe, folder: Path, log: Log) -> Training:
    """Train the network in place, going on from the folder's last checkpoint if there is one."""
    held_out = HeldOut(data.held_out)
    start = {name: weights.detach().clone() for name, weights in _trainable(model)}
    sizes = recipe.sizes(data.queries)
    before = held_out.by_query(model)
    if before:
        log(f"held-out {METRIC} before training: {_mean(before):.3f}")
    else:
        log("too few queries to hold any out: nothing will say whether it learned")
    rows = Dataset.from_dict(
        {
            "query": [candidates.query for candidates in data.lists],
            "documents": [list(candidates.documents) for candidates in data.lists],
            "labels": targets(data.lists, data.scores, recipe.hard),
        }
    )
    trainer = _Trainer(
        model=model,
        args=_arguments(recipe, sizes, folder, len(rows), model.device, bool(data.held_out)),
        train_dataset=rows,
        loss=ListNetLoss(model, mini_batch_size=-1),
        evaluator=held_out if data.held_out else None,
    )
    log_progress(trainer, log)
    steps = _run(trainer, folder / CHECKPOINTS, log)
    with torch.no_grad():
        for name, weights in _trainable(model):
            weights.lerp_(start[name].to(weights), 1 - sizes.blend)
    after = held_out.by_query(model)
    if after:
        log(f"held-out {METRIC} after training: {_mean(after):.3f}")
    figures = HeldOutFigures(_mean(before), _mean(after))
    return Training(sizes, steps, figures, compare(before, after) if before else None)


def _run(trainer: _Trainer, checkpoints: Path, log: Log) -> int:
    """Train to the end, going on from the last checkpoint if there is one. Return the steps of the whole run."""
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint is not None:
        log(f"going on from {checkpoint}")
        state = TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))
        if state.global_step >= state.max_steps:
            trainer._load_from_checkpoint(checkpoint)  # to go on would be one step too many
            return int(state.global_step)
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer.state.global_step


def _mean(by_query: Mapping[str, float]) -> float:
    return sum(by_query.values()) / len(by_query) if by_query else math.nan


def targets(lists: Sequence[CandidateList], scores: TeacherScores | None, hard: float) -> list[list[float]]:
    """Return log-probabilities of being the best document of its list: ListNet's softmax makes shares of them again.

    A share `hard` lies on the positives; the rest on what the teachers' logits say, softmaxed. Without teachers
    the positives get all.
    """
    hard_share = hard if scores is not None else 1.0
    rows = []
    for index, candidates in enumerate(lists):
        shares = np.zeros(len(candidates.documents))
        shares[: candidates.positives] = hard_share / candidates.positives
        if scores is not None:
            logits = np.array(scores[index])
            exponentials = np.exp(logits - logits.max())
            shares += (1 - hard_share) * exponentials / exponentials.sum()
        shares = np.maximum(shares, MIN_SHARE)
        rows.append(np.log(shares / shares.sum()).tolist())
    return rows


def _trainable(model: CrossEncoder) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]


class _Trainer(WholeCheckpoints, WithoutModelCard, CrossEncoderTrainer):
    def _load_from_checkpoint(self, checkpoint_path: str, *_: Any) -> None:
        if isinstance(self.model[0], SplitPairs):
            load_model(self.model[0], str(Path(checkpoint_path, "model.safetensors")))
        else:
            super()._load_from_checkpoint(checkpoint_path)


def _arguments(
    recipe: Recipe, sizes: Sizes, folder: Path, rows: int, device: torch.device, evaluate: bool
) -> CrossEncoderTrainingArguments:
    steps = max(1, round(rows * sizes.epochs / sizes.batch))  # or a few more: an epoch's last step may be a small one
    every = max(1, steps // CHECKS)
    return CrossEncoderTrainingArguments(
        **shared_arguments(folder / CHECKPOINTS, device, recipe.seed),
        num_train_epochs=sizes.epochs,
        per_device_train_batch_size=sizes.batch,
        learning_rate=sizes.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(steps * WARMUP),
        bf16=bfloat16_is_faster(device),
        save_steps=every,
        save_total_limit=2,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=every,
        logging_steps=every,
    )
