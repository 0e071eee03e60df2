"""`torch.onnx.export` with the settings that all graphs here share."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

OPSET = 17


def write_graph(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    path: Path,
    axes: Mapping[str, Mapping[int, str]],
    *,
    outputs: Sequence[str],
) -> None:
    """Trace the module on these inputs and write an ONNX file, whose named axes may have any length."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of values that are constant on purpose
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(named) for name, named in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
