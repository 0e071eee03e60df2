"""8-bit weights without batch effects: smaller files, and scores that don't depend on their neighbours.

Dynamic quantisation takes one activation scale from a whole batch, so a score changes with the other rows in
it. Here weights alone are rounded, per output channel (embedding tables per row), and restored to float32 when
the graph is loaded: a quarter of the bytes, float32's speed and stability.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LEAST = 4096  # elements; smaller tensors are not worth a node


def quantize_weights(path: Path, *, matrices: bool = True) -> None:
    """Rewrites the graph at `path` with 8-bit embedding tables and, unless told otherwise, matrices of its products."""
    model = onnx.load(path)
    graph = model.graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    multiplied = {name: axis for node in graph.node for name, axis in _weights(node).items()}
    kept, nodes = [], []
    for initializer in graph.initializer:
        values = numpy_helper.to_array(initializer)
        name = initializer.name
        wanted = values.dtype == np.float32 and values.ndim == 2 and values.size >= LEAST
        if wanted and name in tables and name not in multiplied:
            rounded, scales = _round(values, keep=0)
            kept += [_named(rounded, f"{name}_int8"), _named(scales, f"{name}_scale")]
        elif wanted and matrices and name in multiplied and name not in tables:
            rounded, scales = _round(values, keep=multiplied[name])
            kept += [_named(rounded, f"{name}_int8"), _named(scales, f"{name}_scale")]
            nodes += _restored(f"{name}_int8", f"{name}_scale", name)
        else:
            kept.append(initializer)
    names = {initializer.name for initializer in kept}
    for node in graph.node:
        nodes += _gathered(node) if node.op_type == "Gather" and f"{node.input[0]}_int8" in names else [node]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _weights(node: onnx.NodeProto) -> dict[str, int]:
    """The weight a node multiplies with, and the axis of its output channels."""
    if node.op_type == "MatMul":
        return {node.input[1]: 1}
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return {node.input[1]: 0 if transposed else 1}
    return {}


def _round(values: NDArray[np.float32], keep: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric 8-bit values and one scale per slice of axis `keep`, shaped to multiply."""
    scales = np.abs(values).max(axis=1 - keep, keepdims=True) / 127
    scales[scales == 0] = 1.0
    return np.round(values / scales).astype(np.int8), scales.astype(np.float32)


def _named(values: NDArray[np.int8] | NDArray[np.float32], name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values), name)


def _restored(rounded: str, scales: str, name: str) -> list[onnx.NodeProto]:
    """Cast and multiply: constants, which ONNX Runtime folds once at load."""
    return [
        helper.make_node("Cast", [rounded], [f"{name}_cast"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_cast", scales], [name]),
    ]


def _gathered(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Rows are looked up in 8 bits and restored afterwards, so that the table stays small in memory too."""
    table, ids = node.input
    out = node.output[0]
    return [
        helper.make_node("Gather", [f"{table}_int8", ids], [f"{out}_rows"], axis=0),
        helper.make_node("Gather", [f"{table}_scale", ids], [f"{out}_scales"], axis=0),
        *_restored(f"{out}_rows", f"{out}_scales", out),
    ]
