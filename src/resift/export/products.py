"""8-bit matrix products whose scores don't depend on the batch.

Weights are rounded once, per output channel; activations each time, by the largest number of their own row.

What onnxruntime's `quantize_dynamic` makes is a little faster and far less like float32. It takes one scale for the
activations of a whole batch, and weights of full 8 bits, which processors without 8-bit dot products add up in 16 bits
and cut off where that is not enough. A weight has 7 bits here, so that two products always fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from resift.export.int8 import LEAST, round_channels
from resift.export.passes._graph import CONTRIB, Graph, make

WEIGHT = 63  # the largest: 2 x 255 x 63 is less than 2^15
ROW = 127  # the largest of a row, around ZERO
ZERO = 128
CONSTANTS: dict[str, NDArray[Any]] = {
    "rounded_one": np.array(1, np.float32),
    "rounded_zero": np.array(ZERO, np.uint8),
    "rounded_share": np.array(1 / ROW, np.float32),
    "rounded_least": np.array(1e-9, np.float32),  # the scale of a row of zeros
}


def quantize_products(path: Path) -> None:
    """Rewrites the float32 graph at `path`: products of activations and a large matrix are made of 8-bit numbers."""
    graph = Graph.read(onnx.load(path))
    matrices = {name for name, values in graph.constants.items() if values.ndim == 2 and values.size >= LEAST}
    rounded: set[str] = set()  # matrices, and activations: queries, keys and values are made of the same
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if node.op_type != "MatMul" or node.input[1] not in matrices:
            nodes.append(node)
            continue
        given, matrix = node.input
        if matrix not in rounded:
            values, scales = round_channels(graph.constants[matrix], keep=-1, largest=WEIGHT)
            graph.constants |= {f"{matrix}_int8": values, f"{matrix}_scale": scales[0]}
        if given not in rounded:
            nodes += _rounded_rows(given)
        rounded |= {given, matrix}
        nodes += _product(given, matrix, node.output[0])
    graph.nodes = nodes
    graph.constants |= CONSTANTS
    onnx.save(graph.write(), path)


def _rounded_rows(given: str) -> list[onnx.NodeProto]:
    """Activations (..., width) as 8-bit numbers around `ZERO`, and what each row (..., 1) was divided by."""
    return [
        make("Abs", [given], f"{given}_size"),
        make("ReduceMax", [f"{given}_size"], f"{given}_largest", axes=[-1], keepdims=1),
        make("Mul", [f"{given}_largest", "rounded_share"], f"{given}_share"),
        make("Max", [f"{given}_share", "rounded_least"], f"{given}_scale"),
        make("Div", [given, f"{given}_scale"], f"{given}_scaled"),
        make("QuantizeLinear", [f"{given}_scaled", "rounded_one", "rounded_zero"], f"{given}_rounded"),
    ]


def _product(given: str, matrix: str, result: str) -> list[onnx.NodeProto]:
    """Summed in 32-bit integers, and scaled back: by channel within the operator, then by row."""
    inputs = [f"{given}_rounded", f"{matrix}_int8", "rounded_one", f"{matrix}_scale", "rounded_zero"]
    return [
        make("MatMulIntegerToFloat", inputs, f"{result}_sum", CONTRIB),
        make("Mul", [f"{result}_sum", f"{given}_scale"], result),
    ]
