"""`resift train`: pairs in, an exported reranker out. sentence-transformers does the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_model
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import ListNetLoss
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from resift.training.held_out import METRIC, HeldOut
from resift.training.lesson import Lesson
from resift.training.networks import SplitPairs
from resift.training.progress import tell
from resift.training.recipe import Recipe, targets
from resift.training.teachers import Note, half_is_faster

CHECKPOINTS = "checkpoints"
CHECKS = 10  # checkpoints and evaluations in a run


def train(model: CrossEncoder, lesson: Lesson, recipe: Recipe, folder: Path, note: Note) -> dict[str, float]:
    """Trains the network in place, going on from the folder's last checkpoint if there is one.

    Returns nDCG@10 on the held-out lists `before` and `after`.
    """
    held_out = HeldOut(lesson.held_out)
    start = {name: weights.detach().clone() for name, weights in _learning(model)}
    before = held_out(model)[METRIC] if lesson.held_out else float("nan")
    note(f"held-out {METRIC} before training: {before:.3f}")
    rows = Dataset.from_dict(
        {
            "query": [one.query for one in lesson.lists],
            "documents": [list(one.documents) for one in lesson.lists],
            "labels": targets(lesson.lists, lesson.scores, recipe.hard),
        }
    )
    trainer = _Trainer(
        model=model,
        args=_arguments(recipe, folder, len(rows), model.device, bool(lesson.held_out)),
        train_dataset=rows,
        loss=ListNetLoss(model, mini_batch_size=-1),
        evaluator=held_out if lesson.held_out else None,
    )
    tell(trainer, note)
    last = None
    if (folder / CHECKPOINTS).is_dir():
        last = get_last_checkpoint(str(folder / CHECKPOINTS))  # type: ignore[no-untyped-call]
    if last is not None:
        note(f"going on from {last}")
    if last is not None and _finished(last):
        trainer._load_from_checkpoint(last)  # to go on would be one step too many
    else:
        trainer.train(resume_from_checkpoint=last)
    with torch.no_grad():
        for name, weights in _learning(model):
            weights.lerp_(start[name].to(weights), 1 - recipe.blend)
    after = held_out(model)[METRIC] if lesson.held_out else float("nan")
    note(f"held-out {METRIC} after training: {after:.3f}")
    return {"before": before, "after": after}


def _finished(checkpoint: str) -> bool:
    state = TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME)))
    return bool(state.global_step >= state.max_steps)


def _learning(model: CrossEncoder) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]


class _Trainer(CrossEncoderTrainer):
    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No card of its own: it counts tokens of columns one by one, and what we read is pairs."""

    def _load_from_checkpoint(self, checkpoint_path: str, *_: Any) -> None:
        if isinstance(self.model[0], SplitPairs):
            load_model(self.model[0], str(Path(checkpoint_path, "model.safetensors")))
        else:
            super()._load_from_checkpoint(checkpoint_path)


def _arguments(
    recipe: Recipe, folder: Path, rows: int, device: torch.device, evaluate: bool
) -> CrossEncoderTrainingArguments:
    steps = max(1, round(rows * recipe.epochs / recipe.queries))
    every = max(1, steps // CHECKS)
    return CrossEncoderTrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.queries,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(steps * 0.05),
        bf16=half_is_faster(device),
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type != "cpu",
        seed=recipe.seed,
        data_seed=recipe.seed,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=every,
        logging_steps=every,
        report_to="none",
        disable_tqdm=True,
    )
