"""How torch is fed on a CPU or a card: numbers, batches, turns, and no waiting between batches."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resift.errors import InputError
from resift.models.options import Dtype

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 32768


def choose_batch_tokens(device: torch.device, said: int | None) -> int:
    """Tokens in one batch: so many as were said, else what suits the device."""
    default = CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS
    return default if said is None else said


def device_lock(device: torch.device) -> AbstractContextManager[object]:
    """What a thread holds while it runs a model: Apple's backend crashes when two enter it, and one GPU gains nothing
    from two.
    """
    return nullcontext() if device.type == "cpu" else threading.Lock()


def set_dtype(model: nn.Module, labels: int, device: torch.device, said: Dtype | None) -> None:
    """Makes the model compute in float32, or in bfloat16 where that was said or the card has it.

    The last layer, which gives the labels, stays in float32: bfloat16 knows 128 numbers between 1 and 2, and a list
    of logits would be full of ties. Raises InputError for other numbers.
    """
    if said not in (None, "float32", "bfloat16"):
        raise InputError(f"dtype is float32 or bfloat16, not {said!r}")
    on_card = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if said == "float32" or (said is None and not on_card):
        model.float()
        return
    model.bfloat16()
    layers = [one for one in model.modules() if isinstance(one, nn.Linear) and one.out_features == labels]
    for last in layers[-1:]:
        last.float()
        last.register_forward_pre_hook(lambda _, inputs: tuple(one.float() for one in inputs))


def to_device(numbers: NDArray[Any], device: torch.device) -> Tensor:
    """There, without waiting for what the card is doing: that takes memory which the system can't move."""
    tensor = torch.from_numpy(numbers)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class DeviceLogits:
    """Logits that a card may still be computing. Whoever asks for the numbers waits; until then more can be queued."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._logits.float().cpu().numpy()
        return found if dtype is None else found.astype(dtype, copy=bool(copy))
