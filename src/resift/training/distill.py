"""`resift distill`: a first stage that learns from pairs and from teachers. sentence-transformers does the training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
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
from transformers.trainer_utils import get_last_checkpoint, set_seed

from resift.errors import InputError
from resift.models.manifest import FILE
from resift.training.curriculum import Curriculum, Labels, claim, label, thin, whole
from resift.training.pairs import TrainingPair
from resift.training.progress import tell
from resift.training.similarities import SCALE, SimilaritiesLoss
from resift.training.students import Student, embed, open_student
from resift.training.teachers import Note

CHECKPOINTS = "checkpoints"
EVERY = 50  # steps between checkpoints: a minute or so of work to lose
LOGS = 5  # notes of the loss in a run
WARMUP = 0.1  # share of the steps
CHARACTERS = 800  # read of a passage in training: the rest of a long one costs time and says little new


@dataclass(frozen=True, slots=True)
class Distillation:
    """All settings of a run. The same settings, data and machine give the same model."""

    base: str = "static"
    """`static` (the bundled table), a table's folder, or the folder of a sentence-transformers bi-encoder."""
    steps: int = 300
    batch: int | None = None
    """Pairs of a step; None for what suits the base."""
    learning_rate: float | None = None
    """None for what suits the base."""
    per_passage: int = 2
    """Queries of one passage that are learned, at most."""
    runs: int = 1
    """Runs from the same start with seeds that follow, so with another order and other texts for the teachers, whose
    weights are averaged: what one run learned by chance is taken out (Wortsman et al. 2022, arXiv 2203.05482)."""
    seed: int = 7
    labels: Labels = field(default_factory=Labels)

    def __post_init__(self) -> None:
        counts = {
            "steps": self.steps,
            "batch": 2 if self.batch is None else self.batch,
            "per_passage": self.per_passage,
            "runs": self.runs,
            "lists": self.labels.lists,
            "negatives": self.labels.negatives,
            "vectors": self.labels.vectors,
        }
        for name, value in counts.items():
            least = 2 if name in ("batch", "vectors") else 1  # a batch of one has no wrong answer to learn from
            if value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise InputError(f"learning_rate must be above 0, got {self.learning_rate}")


def distill(
    pairs: Sequence[TrainingPair],
    settings: Distillation,
    folder: Path,
    note: Note,
    *,
    name: str = "",
    licence: str = "",
) -> Student:
    """Trains and writes the model into the folder, going on where a run of the same call was cut short.

    Raises InputError where the folder holds a model already, or the unfinished run of another call, and for too
    few pairs.
    """
    if any((folder / file).exists() for file in (FILE, "modules.json")):
        raise InputError(f"{folder} holds a model already: write elsewhere, or delete it")
    student = open_student(settings.base)
    if len({pair.positive for pair in pairs}) < 2:
        raise InputError("all pairs have the same passage: there is no wrong answer to learn from")
    work = folder / CHECKPOINTS
    claim(work, pairs, **asdict(settings))
    _learn(student, pairs, settings, work, note)
    student.write(folder, name or folder.resolve().name, licence)
    shutil.rmtree(work)  # only now: until the model is written, this is all there is
    return student


def _learn(student: Student, pairs: Sequence[TrainingPair], settings: Distillation, work: Path, note: Note) -> None:
    """Leaves the student with the mean of what the runs learned. A run that has ended is not repeated."""
    model = student.model
    start = {name: weights.clone() for name, weights in model.state_dict().items()}
    mean = {name: torch.zeros_like(weights) for name, weights in model.named_parameters()}
    for run in range(settings.runs):
        learned = work / f"run-{run}.safetensors"
        if not learned.exists():
            if settings.runs > 1:
                note(f"run {run + 1} of {settings.runs}")
            model.load_state_dict(start)
            _run(student, pairs, replace(settings, seed=settings.seed + run), work / f"run-{run}", note)
            whole(learned, lambda part: save_model(model, str(part)))
        load_model(model, learned)
        for name, weights in model.named_parameters():
            mean[name].lerp_(weights.detach(), 1 / (run + 1))
    model.load_state_dict(mean, strict=False)


def _run(student: Student, pairs: Sequence[TrainingPair], settings: Distillation, work: Path, note: Note) -> None:
    work.mkdir(exist_ok=True)
    chosen = thin(pairs, settings.per_passage, settings.seed)
    read = partial(embed, student.model)
    lessons = label(chosen, settings.labels, read, seed=settings.seed, folder=work, note=note)
    set_seed(settings.seed)
    rows, losses = _parts(student.model, lessons)
    trainer = _Trainer(
        model=student.model,
        args=_arguments(student, settings, work, len(rows["pairs"])),
        train_dataset=rows,
        loss=losses,
    )
    tell(trainer, note)
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in rows.items())
    last = get_last_checkpoint(str(work))  # type: ignore[no-untyped-call]
    note(f"{settings.steps} steps on {sizes}" if last is None else f"going on from {last}")
    trainer.train(resume_from_checkpoint=last)


def _parts(model: SentenceTransformer, lessons: Curriculum) -> tuple[dict[str, Dataset], dict[str, torch.nn.Module]]:
    """Rows and loss of each part. The steps take the parts in turn, so that none drowns for being small."""
    pairs = [(pair.query, pair.positive[:CHARACTERS]) for pair in lessons.pairs]
    rows = {"pairs": Dataset.from_dict(_columns(("query", "passage"), pairs))}
    losses: dict[str, torch.nn.Module] = {"pairs": MultipleNegativesRankingLoss(model, scale=SCALE)}
    if lessons.scores is not None:
        width = len(lessons.lists[0].documents)
        lists = [(one.query, *(text[:CHARACTERS] for text in one.documents)) for one in lessons.lists]
        columns = _columns(("query", *(f"passage_{place}" for place in range(width))), lists)
        rows["lists"] = Dataset.from_dict({**columns, "label": [list(scores) for scores in lessons.scores]})
        losses["lists"] = DistillKLDivLoss(model, similarity_fct=_logits)
    if lessons.vectored is not None:
        texts = list(lessons.vectored.texts)
        rows["vectors"] = Dataset.from_dict({"text": texts, "label": list(range(len(texts)))})
        losses["vectors"] = SimilaritiesLoss(model, lessons.vectored.vectors)
    return rows, losses


def _logits(query: Tensor, passage: Tensor) -> Tensor:
    """Cosines on the scale of a cross-encoder's logits. Not by the loss' temperature: it would shrink the loss too."""
    return SCALE * pairwise_cos_sim(query, passage)


def _columns(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


class _Trainer(SentenceTransformerTrainer):
    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No card of its own: it would tokenise the data for its statistics."""


def _batches(dataset: Dataset, batch_size: int, drop_last: bool, **settings: Any) -> NoDuplicatesBatchSampler:
    """As many texts a step in every part: fewer lists than pairs, more single texts. None twice, or a passage would
    be a wrong answer to its own query.
    """
    texts = sum(name != "label" for name in dataset.column_names)
    return NoDuplicatesBatchSampler(dataset, max(2, min(2 * batch_size // texts, len(dataset))), drop_last, **settings)


def _arguments(
    student: Student, settings: Distillation, work: Path, pairs: int
) -> SentenceTransformerTrainingArguments:
    on_cpu = student.model.device.type == "cpu"
    return SentenceTransformerTrainingArguments(
        output_dir=str(work),
        max_steps=settings.steps,
        per_device_train_batch_size=min(settings.batch or student.batch, pairs),
        learning_rate=settings.learning_rate or student.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(settings.steps * WARMUP),
        batch_sampler=_batches,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.ROUND_ROBIN,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        seed=settings.seed,
        data_seed=settings.seed,
        save_strategy="steps",
        save_steps=EVERY,
        save_total_limit=1,
        logging_steps=max(1, settings.steps // LOGS),
        report_to="none",
        disable_tqdm=True,
    )
