"""Running torch on a CPU or a GPU: precision, batch size, a lock, and copies that don't wait."""

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


def choose_batch_tokens(device: torch.device, requested: int | None) -> int:
    """Return the tokens of one batch: `requested`, or the device's default."""
    default = CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS
    return default if requested is None else requested


def device_lock(device: torch.device) -> AbstractContextManager[object]:
    """Return what a thread holds while it runs a model: a lock on a GPU, nothing on a CPU.

    Apple's backend crashes when two threads enter it, and two threads are no faster on one GPU.
    """
    return nullcontext() if device.type == "cpu" else threading.Lock()


def set_dtype(model: nn.Module, labels: int, device: torch.device, requested: Dtype | None) -> None:
    """Make the model compute in `requested`, or by default in bfloat16 on a GPU that supports it, else in float32.

    The last layer, which has one output per label, stays in float32: bfloat16 has 128 numbers between 1 and 2, so a
    list of logits would be full of ties. Raise InputError for another dtype.
    """
    if requested not in (None, "float32", "bfloat16"):
        raise InputError(f"dtype is float32 or bfloat16, not {requested!r}")
    gpu_has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if requested == "float32" or (requested is None and not gpu_has_bfloat16):
        model.float()
        return
    model.bfloat16()
    label_layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer.out_features == labels]
    for layer in label_layers[-1:]:
        layer.float()
        layer.register_forward_pre_hook(lambda _, inputs: tuple(tensor.float() for tensor in inputs))


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to the device without waiting for the GPU's current work, which takes pinned memory."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class DeviceLogits:
    """Logits that a GPU may still be computing. Only reading them as an array waits, so more batches can be queued."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._logits.float().cpu().numpy()
        return logits if dtype is None else logits.astype(dtype, copy=bool(copy))
