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
from onnx import TensorProto, helper, numpy_helper

from resift.export.int8 import LEAST, round_channels
from resift.export.passes._graph import CONTRIB

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
    model = onnx.load(path)
    graph = model.graph
    matrices = {one.name: one for one in graph.initializer if len(one.dims) == 2 and np.prod(one.dims) >= LEAST}
    rounded: dict[str, list[TensorProto]] = {}
    rows: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in matrices:
            nodes.append(node)
            continue
        given, matrix = node.input
        if matrix not in rounded:
            values, scales = round_channels(numpy_helper.to_array(matrices[matrix]), keep=-1, largest=WEIGHT)
            rounded[matrix] = [
                numpy_helper.from_array(values, f"{matrix}_int8"),
                numpy_helper.from_array(scales[0], f"{matrix}_scale"),
            ]
        if given not in rows:  # queries, keys and values are made of the same
            rows.add(given)
            nodes += _rounded_rows(given)
        nodes += _product(given, matrix, node.output[0])
    read = {name for node in nodes for name in node.input}
    constants = [numpy_helper.from_array(values, name) for name, values in CONSTANTS.items()] if rounded else []
    kept = [one for one in graph.initializer if one.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *(one for made in rounded.values() for one in made), *constants])
    if rounded and CONTRIB not in {one.domain for one in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    onnx.save(model, path)


def _rounded_rows(given: str) -> list[onnx.NodeProto]:
    """Activations (..., width) as 8-bit numbers around `ZERO`, and what each row (..., 1) was divided by."""
    return [
        helper.make_node("Abs", [given], [f"{given}_size"]),
        helper.make_node("ReduceMax", [f"{given}_size"], [f"{given}_largest"], axes=[-1], keepdims=1),
        helper.make_node("Mul", [f"{given}_largest", "rounded_share"], [f"{given}_share"]),
        helper.make_node("Max", [f"{given}_share", "rounded_least"], [f"{given}_scale"]),
        helper.make_node("Div", [given, f"{given}_scale"], [f"{given}_scaled"]),
        helper.make_node("QuantizeLinear", [f"{given}_scaled", "rounded_one", "rounded_zero"], [f"{given}_rounded"]),
    ]


def _product(given: str, matrix: str, result: str) -> list[onnx.NodeProto]:
    """Summed in 32-bit integers, and scaled back: by channel within the operator, then by row."""
    inputs = [f"{given}_rounded", f"{matrix}_int8", "rounded_one", f"{matrix}_scale", "rounded_zero"]
    return [
        helper.make_node("MatMulIntegerToFloat", inputs, [f"{result}_sum"], domain=CONTRIB),
        helper.make_node("Mul", [f"{result}_sum", f"{given}_scale"], [result]),
    ]
