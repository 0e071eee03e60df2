"""What both trainers share: arguments, the line of log for each report, and the last checkpoint of a run cut short."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from resift.errors import ModelFileError
from resift.training.kept import is_whole, mark_whole
from resift.training.log import Log

CHECKPOINT = "checkpoint-"  # and the step: transformers' name for one


class WithoutModelCard:
    """Mixed into a trainer of sentence-transformers: it writes no card, for which it would tokenise all of the data."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add nothing."""


class WholeCheckpoints:
    """Mixed into a trainer: a checkpoint counts once all of it is written, and as long as it stays as it is."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        trainer: Any = self
        folder = Path(trainer.args.output_dir) / f"{CHECKPOINT}{trainer.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]  # the trainer's, beside which this stands
            mark_whole(folder)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelFileError(
                f"{folder} can't be written: {error}. With room on the disk, the same call goes on from the checkpoint "
                "before it"
            ) from error


class _LogCallback(TrainerCallback):
    def __init__(self, log: Log) -> None:
        self._log = log

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:  # noqa: ARG002
        """Log the mean loss since the last report, or what an evaluation measured."""
        step = f"step {state.global_step} of {state.max_steps}"
        if logs and "loss" in logs:
            self._log(f"{step}: loss {float(logs['loss']):.3f}")
        for name, value in (logs or {}).items():
            if name.startswith("eval_nDCG"):
                self._log(f"{step}: held-out {name.removeprefix('eval_')} {float(value):.3f}")


def log_progress(trainer: Trainer, log: Log) -> None:
    """Let a trainer report to `log`, and no longer to stdout, where results go."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_LogCallback(log))


def shared_arguments(folder: Path, device: torch.device, seed: int) -> dict[str, Any]:
    """Return the training arguments that don't depend on what is trained; checkpoints go to `folder`."""
    return {
        "output_dir": str(folder),
        "use_cpu": device.type == "cpu",
        "dataloader_pin_memory": device.type != "cpu",
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "steps",
        "report_to": "none",
        "disable_tqdm": True,
    }


def last_checkpoint(folder: Path) -> str | None:
    """Return the path of the folder's newest whole checkpoint; None if there is none. Others are deleted."""
    steps = {path: path.name.removeprefix(CHECKPOINT) for path in folder.glob(f"{CHECKPOINT}*")}
    newest_first = sorted((path for path in steps if steps[path].isdecimal()), key=lambda path: -int(steps[path]))
    for path in newest_first:
        if is_whole(path):
            return str(path)
        shutil.rmtree(path)
    return None
