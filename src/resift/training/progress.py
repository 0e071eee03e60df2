"""How training goes, told to whoever listens: nothing here prints."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from resift.training.teachers import Note


class _Tell(TrainerCallback):
    def __init__(self, note: Note) -> None:
        self._note = note

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:  # noqa: ARG002
        """The mean loss since the last time, or what an evaluation found."""
        step = f"step {state.global_step} of {state.max_steps}"
        if logs and "loss" in logs:
            self._note(f"{step}: loss {float(logs['loss']):.3f}")
        for name, value in (logs or {}).items():
            if name.startswith("eval_nDCG"):
                self._note(f"{step}: held-out {name.removeprefix('eval_')} {float(value):.3f}")


def tell(trainer: Trainer, note: Note) -> None:
    """Makes a trainer tell `note`, and no longer stdout, where results go."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Tell(note))


def no_bars() -> None:
    """For a command, once nothing is to be downloaded: transformers draws one for each checkpoint, amid the notes."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
