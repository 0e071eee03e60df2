"""8-bit weights without batch effects: smaller files, and scores that don't depend on their neighbours.

Dynamic quantisation takes one activation scale from a whole batch, so a score changes with the other rows in
it. Here weights alone are rounded, per output channel (embedding tables per row), and restored to float32 when
the graph is loaded: a quarter of the bytes, float32's speed and stability. Large embedding tables can be narrowed to
4 bits, blocks of a row sharing a scale: half of a small network is its vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LEAST = 4096  # elements; smaller tensors are not worth a node
BLOCK = 32  # numbers of a row that share a scale in a 4-bit table
LITTLE = 1e-4  # a step that half precision can hold
SHRUNK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # scales tried: to cut off the largest number can round the others better


def quantize_weights(path: Path, *, matrices: bool = True, narrow: int | None = None) -> None:
    """Rewrites the graph at `path` with 8-bit embedding tables and, unless told otherwise, matrices of its products.

    Tables of `narrow` rows or more get 4 bits.
    """
    model = onnx.load(path)
    graph = model.graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    multiplied = {name: axis for node in graph.node for name, axis in _weights(node).items()}
    kept, nodes = [], []
    for initializer in graph.initializer:
        values = numpy_helper.to_array(initializer)
        name = initializer.name
        wanted = values.dtype == np.float32 and values.ndim >= 2 and values.size >= LEAST
        if wanted and name in tables and name not in multiplied and narrow and len(values) >= narrow:
            packed, steps = pack(values)
            kept += [_named(packed, f"{name}_int4"), _named(steps, f"{name}_steps")]
        elif wanted and name in tables and name not in multiplied:
            rounded, scales = round_channels(values, keep=0)
            kept += [_named(rounded, f"{name}_int8"), _named(scales, f"{name}_scale")]
        elif wanted and matrices and name in multiplied and name not in tables:
            rounded, scales = round_channels(values, keep=multiplied[name])
            kept += [_named(rounded, f"{name}_int8"), _named(scales, f"{name}_scale")]
            nodes += _restored(f"{name}_int8", f"{name}_scale", name)
        else:
            kept.append(initializer)
    names = {initializer.name for initializer in kept}
    for node in graph.node:
        if node.op_type == "Gather" and f"{node.input[0]}_int4" in names:
            nodes += _unpacked(node)
            kept += [one for one in _SHAPES if one.name not in names]
            names |= {one.name for one in _SHAPES}
        else:
            nodes += _gathered(node) if node.op_type == "Gather" and f"{node.input[0]}_int8" in names else [node]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _weights(node: onnx.NodeProto) -> dict[str, int]:
    """The weight a node multiplies with, and the axis of its output channels."""
    if node.op_type == "MatMul":
        return {node.input[1]: -1}
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return {node.input[1]: 0 if transposed else 1}
    return {}


def round_channels(
    values: NDArray[np.float32], keep: int, largest: int = 127
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric 8-bit values up to `largest`, and one scale per slice of axis `keep` (rows, or -1: columns)."""
    scales = np.abs(values).max(axis=1 if keep == 0 else -2, keepdims=True) / largest
    scales[scales == 0] = 1.0
    return np.round(values / scales).astype(np.int8), scales.astype(np.float32)


def pack(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """A table of (rows, width) in 4 bits: (rows, width / 2), where the upper half of a byte belongs to the second half
    of the row, and a step for each block of a row, (rows, width / 32).
    """
    blocks = values.reshape(len(values), -1, BLOCK)
    largest = np.maximum(np.abs(blocks).max(-1, keepdims=True), LITTLE) / 7
    tried = [(largest * share).astype(np.float16).astype(np.float32) for share in SHRUNK]
    errors = np.stack([((_steps(blocks, step) * step - blocks) ** 2).sum(-1) for step in tried])
    best = np.take_along_axis(np.stack(tried)[..., 0], errors.argmin(0)[None], 0)[0]
    whole = (_steps(blocks, best[..., None]) + 8).astype(np.uint8).reshape(values.shape)
    half = values.shape[1] // 2
    return whole[:, :half] + 16 * whole[:, half:], best.astype(np.float16)


def unpack(packed: NDArray[np.uint8], steps: NDArray[np.float16]) -> NDArray[np.float32]:
    """The table again, (rows, width)."""
    whole = np.concatenate([packed % 16, packed // 16], 1).astype(np.float32) - 8
    table: NDArray[np.float32] = whole.reshape(*steps.shape, BLOCK) * steps[..., None].astype(np.float32)
    return table.reshape(len(packed), -1)


def _steps(blocks: NDArray[np.float32], step: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.round(blocks / step), -7, 7)


def _named(values: NDArray[Any], name: str) -> onnx.TensorProto:
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


_SHAPES = [
    numpy_helper.from_array(np.array([0, 0, -1, BLOCK], np.int64), "in_blocks"),
    numpy_helper.from_array(np.array([0, 0, -1], np.int64), "in_rows"),
    numpy_helper.from_array(np.array([-1], np.int64), "last_axis"),
    numpy_helper.from_array(np.array(16, np.float32), "sixteen"),
    numpy_helper.from_array(np.array(8, np.float32), "eight"),
]


def _unpacked(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """`unpack` for the rows looked up, in operators that every runtime has; ids are (rows, tokens)."""
    table, ids = node.input
    out = node.output[0]
    float32 = onnx.TensorProto.FLOAT
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", [f"{table}_int4", ids], "packed", {"axis": 0}),
        ("Cast", ["packed"], "bytes", {"to": float32}),
        ("Div", ["bytes", "sixteen"], "shifted", {}),
        ("Floor", ["shifted"], "high", {}),
        ("Mul", ["high", "sixteen"], "upper", {}),
        ("Sub", ["bytes", "upper"], "low", {}),
        ("Concat", ["low", "high"], "nibbles", {"axis": -1}),
        ("Sub", ["nibbles", "eight"], "whole", {}),
        ("Reshape", ["whole", "in_blocks"], "blocks", {}),
        ("Gather", [f"{table}_steps", ids], "half_steps", {"axis": 0}),
        ("Cast", ["half_steps"], "flat_steps", {"to": float32}),
        ("Unsqueeze", ["flat_steps", "last_axis"], "steps", {}),
        ("Mul", ["blocks", "steps"], "restored", {}),
        ("Reshape", ["restored", "in_rows"], out, {}),
    ]
    made = {result for _, _, result, _ in steps}
    own = {name: name if name == out else f"{out}_{name}" for name in made}  # tables are unpacked side by side
    return [
        helper.make_node(kind, [own.get(name, name) for name in inputs], [own[result]], **attributes)
        for kind, inputs, result, attributes in steps
    ]
