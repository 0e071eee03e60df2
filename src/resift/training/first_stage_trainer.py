"""The training of a first stage: pairs, lists and vectors in turn, by sentence-transformers' trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_model, save_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import MultiDatasetBatchSamplers
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor
from transformers.trainer_utils import set_seed

from resift.training.first_stage_data import (
    FirstStageData,
    FirstStageTeachers,
    limit_queries_per_passage,
    load_or_prepare_data,
)
from resift.training.kept import is_kept, write_kept
from resift.training.log import Log
from resift.training.pairs import TrainingPair
from resift.training.recipe import Distillation
from resift.training.similarities import SCALE, SimilaritiesLoss
from resift.training.students import Student, embed
from resift.training.trainer import WholeCheckpoints, WithoutModelCard, last_checkpoint, log_progress, shared_arguments

STEPS_PER_CHECKPOINT = 50  # a minute or so of work to lose
LOGS = 5  # lines of the loss in a run
WARMUP = 0.1  # share of the steps
CHARACTERS_TRAINED = 800  # of a passage: the rest of a long one costs time and says little new


def train_runs(
    student: Student,
    pairs: Sequence[TrainingPair],
    settings: Distillation,
    teachers: FirstStageTeachers,
    folder: Path,
    log: Log,
) -> None:
    """Train the student in place: it gets the mean of the runs' weights. A run that has ended is not repeated."""
    model = student.model
    start = {name: weights.clone() for name, weights in model.state_dict().items()}
    mean = {name: torch.zeros_like(weights) for name, weights in model.named_parameters()}
    for run in range(settings.runs):
        trained = folder / f"run-{run}.safetensors"
        if not is_kept(trained):
            if settings.runs > 1:
                log(f"run {run + 1} of {settings.runs}")
            model.load_state_dict(start)
            seeded = replace(settings, seed=settings.seed + run)
            _train_run(student, pairs, seeded, teachers, folder / f"run-{run}", log)
            write_kept(trained, lambda path: save_model(model, str(path)))
        load_model(model, trained)
        for name, weights in model.named_parameters():
            mean[name].lerp_(weights.detach(), 1 / (run + 1))
    model.load_state_dict(mean, strict=False)


def _train_run(
    student: Student,
    pairs: Sequence[TrainingPair],
    settings: Distillation,
    teachers: FirstStageTeachers,
    folder: Path,
    log: Log,
) -> None:
    folder.mkdir(exist_ok=True)
    limited = limit_queries_per_passage(pairs, settings.per_passage, settings.seed)
    data = load_or_prepare_data(limited, settings, teachers, partial(embed, student.model), folder, log)
    set_seed(settings.seed)
    rows, losses = _parts(student.model, data)
    trainer = _Trainer(
        model=student.model,
        args=_arguments(student, settings, folder, len(rows["pairs"])),
        train_dataset=rows,
        loss=losses,
    )
    log_progress(trainer, log)
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in rows.items())
    checkpoint = last_checkpoint(folder)
    log(f"{settings.steps} steps on {sizes}" if checkpoint is None else f"going on from {checkpoint}")
    trainer.train(resume_from_checkpoint=checkpoint)


def _parts(model: SentenceTransformer, data: FirstStageData) -> tuple[dict[str, Dataset], dict[str, torch.nn.Module]]:
    """Return rows and loss of each part. The steps take the parts in turn, so that a small one counts as much."""
    pairs = [(pair.query, pair.positive[:CHARACTERS_TRAINED]) for pair in data.pairs]
    rows = {"pairs": Dataset.from_dict(_columns(("query", "passage"), pairs))}
    losses: dict[str, torch.nn.Module] = {"pairs": MultipleNegativesRankingLoss(model, scale=SCALE)}
    if data.scores is not None:
        width = len(data.lists[0].documents)
        lists = [
            (candidates.query, *(text[:CHARACTERS_TRAINED] for text in candidates.documents))
            for candidates in data.lists
        ]
        columns = _columns(("query", *(f"passage_{number}" for number in range(width))), lists)
        rows["lists"] = Dataset.from_dict({**columns, "label": [list(scores) for scores in data.scores]})
        losses["lists"] = DistillKLDivLoss(model, similarity_fct=_logits)
    if data.embedded is not None:
        texts = list(data.embedded.texts)
        rows["vectors"] = Dataset.from_dict({"text": texts, "label": list(range(len(texts)))})
        losses["vectors"] = SimilaritiesLoss(model, data.embedded.vectors)
    return rows, losses


def _logits(query: Tensor, passage: Tensor) -> Tensor:
    """Return cosines on the scale of a cross-encoder's logits.

    The loss has a temperature of its own for this, but it would make the loss smaller too.
    """
    return SCALE * pairwise_cos_sim(query, passage)


def _columns(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


class _Trainer(WholeCheckpoints, WithoutModelCard, SentenceTransformerTrainer):
    pass


def _batches(dataset: Dataset, batch_size: int, drop_last: bool, **settings: Any) -> NoDuplicatesBatchSampler:
    """Return batches of about as many texts for every part: fewer lists than pairs, more single texts.

    No text comes twice in a batch, where a query's own passage would be one of its wrong answers.
    """
    texts = sum(name != "label" for name in dataset.column_names)
    return NoDuplicatesBatchSampler(dataset, max(2, min(2 * batch_size // texts, len(dataset))), drop_last, **settings)


def _arguments(
    student: Student, settings: Distillation, folder: Path, pairs: int
) -> SentenceTransformerTrainingArguments:
    return SentenceTransformerTrainingArguments(
        **shared_arguments(folder, student.model.device, settings.seed),
        max_steps=settings.steps,
        per_device_train_batch_size=min(settings.batch or student.batch, pairs),
        learning_rate=settings.learning_rate or student.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(settings.steps * WARMUP),
        batch_sampler=_batches,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.ROUND_ROBIN,
        save_steps=STEPS_PER_CHECKPOINT,
        save_total_limit=2,  # until a new one is whole, the one before counts
        logging_steps=max(1, settings.steps // LOGS),
    )
