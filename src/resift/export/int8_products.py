"""8-bit matrix products whose scores don't depend on the batch.

Weights are rounded once, per output channel; activations each time, by the largest number of their own row.

What onnxruntime's `quantize_dynamic` makes is a little faster and far less like float32. It takes one scale for the
activations of a whole batch, and weights of full 8 bits. Processors without 8-bit dot products add two products in 16
bits, which is too few for them. A weight has 7 bits here, so that two products always fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from resift.export.int8_weights import MIN_ELEMENTS, round_channels
from resift.export.passes.graph import CONTRIB, Graph, make

LARGEST_WEIGHT = 63  # 2 x 255 x 63 is less than 2^15
LARGEST_ACTIVATION = 127  # of a row, above or below ZERO_POINT
ZERO_POINT = 128
CONSTANTS: dict[str, NDArray[Any]] = {
    "rounded_one": np.array(1, np.float32),
    "rounded_zero": np.array(ZERO_POINT, np.uint8),
    "rounded_share": np.array(1 / LARGEST_ACTIVATION, np.float32),
    "rounded_least": np.array(1e-9, np.float32),  # the scale of a row of zeros
}
"""By their names in the graph, as all tensors below."""


def quantize_products(path: Path) -> None:
    """Rewrite the float32 graph at `path`: products of activations and a large matrix are made of 8-bit numbers."""
    graph = Graph.read(onnx.load(path))
    matrices = {name for name, values in graph.constants.items() if values.ndim == 2 and values.size >= MIN_ELEMENTS}
    rounded: set[str] = set()  # matrices, and activations: queries, keys and values are made of the same
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if node.op_type != "MatMul" or node.input[1] not in matrices:
            nodes.append(node)
            continue
        activations, matrix = node.input
        if matrix not in rounded:
            values, scales = round_channels(graph.constants[matrix], keep=-1, largest=LARGEST_WEIGHT)
            graph.constants |= {f"{matrix}_int8": values, f"{matrix}_scale": scales[0]}
        if activations not in rounded:
            nodes += _round_rows(activations)
        rounded |= {activations, matrix}
        nodes += _multiply(activations, matrix, node.output[0])
    graph.nodes = nodes
    graph.constants |= CONSTANTS
    onnx.save(graph.write(), path)


def _round_rows(activations: str) -> list[onnx.NodeProto]:
    """Return nodes that make (..., width) 8-bit numbers around ZERO_POINT, and the scale of each row, (..., 1)."""
    return [
        make("Abs", [activations], f"{activations}_size"),
        make("ReduceMax", [f"{activations}_size"], f"{activations}_largest", axes=[-1], keepdims=1),
        make("Mul", [f"{activations}_largest", "rounded_share"], f"{activations}_share"),
        make("Max", [f"{activations}_share", "rounded_least"], f"{activations}_scale"),
        make("Div", [activations, f"{activations}_scale"], f"{activations}_scaled"),
        make("QuantizeLinear", [f"{activations}_scaled", "rounded_one", "rounded_zero"], f"{activations}_rounded"),
    ]


def _multiply(activations: str, matrix: str, product: str) -> list[onnx.NodeProto]:
    """Return nodes that sum in 32-bit integers and scale back: by channel within the operator, then by row."""
    inputs = [f"{activations}_rounded", f"{matrix}_int8", "rounded_one", f"{matrix}_scale", "rounded_zero"]
    return [
        make("MatMulIntegerToFloat", inputs, f"{product}_sum", CONTRIB),
        make("Mul", [f"{product}_sum", f"{activations}_scale"], product),
    ]
