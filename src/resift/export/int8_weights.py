"""8-bit weights without batch effects: smaller files, and scores that don't depend on the other texts of a batch.

Dynamic quantisation takes one activation scale from a whole batch, so a score changes with the other rows in it. Here
weights alone are rounded, per output channel (embedding tables per row), and restored to float32 when the graph is
loaded: a quarter of the bytes, float32's speed and stability. Large embedding tables can be narrowed to 4 bits, where
blocks of a row share a scale: half of a small network is its vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

MIN_ELEMENTS = 4096  # of a tensor that is rounded; smaller ones are not worth a node
BLOCK_WIDTH = 32  # numbers of a row that share a scale in a 4-bit table
MIN_LARGEST = 1e-4  # a block's largest number is taken as this at least: half precision must hold the step
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # scales tried: to cut off the largest number can round the others better


def quantize_weights(path: Path, *, matrices: bool = True, narrow: int | None = None) -> None:
    """Rewrite the graph at `path` with 8-bit embedding tables and, with `matrices`, 8-bit matrices of its products.

    Tables of `narrow` rows or more get 4 bits.
    """
    model = onnx.load(path)
    graph = model.graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    channel_axes = {name: axis for node in graph.node for name, axis in _channel_axis(node).items()}
    initializers, nodes = [], []
    for initializer in graph.initializer:
        values = numpy_helper.to_array(initializer)
        name = initializer.name
        is_large = values.dtype == np.float32 and values.ndim >= 2 and values.size >= MIN_ELEMENTS
        is_table, is_matrix = name in tables, name in channel_axes
        if is_large and is_table and not is_matrix and narrow and len(values) >= narrow:
            packed, steps = pack_int4(values)
            initializers += [_initializer(packed, f"{name}_int4"), _initializer(steps, f"{name}_steps")]
        elif is_large and is_table and not is_matrix:
            rounded, scales = round_channels(values, keep=0)
            initializers += [_initializer(rounded, f"{name}_int8"), _initializer(scales, f"{name}_scale")]
        elif is_large and matrices and is_matrix and not is_table:
            rounded, scales = round_channels(values, keep=channel_axes[name])
            initializers += [_initializer(rounded, f"{name}_int8"), _initializer(scales, f"{name}_scale")]
            nodes += _restore(f"{name}_int8", f"{name}_scale", name)
        else:
            initializers.append(initializer)
    names = {initializer.name for initializer in initializers}
    for node in graph.node:
        if node.op_type == "Gather" and f"{node.input[0]}_int4" in names:
            nodes += _gather_int4(node)
            initializers += [constant for constant in _INT4_CONSTANTS if constant.name not in names]
            names |= {constant.name for constant in _INT4_CONSTANTS}
        elif node.op_type == "Gather" and f"{node.input[0]}_int8" in names:
            nodes += _gather_int8(node)
        else:
            nodes.append(node)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _channel_axis(node: onnx.NodeProto) -> dict[str, int]:
    """Return the weight that a node multiplies with, and the axis of its output channels; empty for another node."""
    if node.op_type == "MatMul":
        return {node.input[1]: -1}
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return {node.input[1]: 0 if transposed else 1}
    return {}


def round_channels(
    values: NDArray[np.float32], keep: int, largest: int = 127
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return symmetric 8-bit values up to `largest`, and one scale per slice of axis `keep` (0: rows, -1: columns)."""
    scales = np.abs(values).max(axis=1 if keep == 0 else -2, keepdims=True) / largest
    scales[scales == 0] = 1.0
    return np.round(values / scales).astype(np.int8), scales.astype(np.float32)


def pack_int4(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Round a table of (rows, width) to 4 bits, and return bytes and steps.

    Bytes are (rows, width / 2); the upper half of a byte belongs to the second half of the row. Each block of a row has
    a step: (rows, width / 32).
    """
    blocks = values.reshape(len(values), -1, BLOCK_WIDTH)
    largest = np.maximum(np.abs(blocks).max(-1, keepdims=True), MIN_LARGEST) / 7
    candidates = [(largest * shrink).astype(np.float16).astype(np.float32) for shrink in SHRINKS]
    errors = np.stack([((_multiples(blocks, steps) * steps - blocks) ** 2).sum(-1) for steps in candidates])
    best = np.take_along_axis(np.stack(candidates)[..., 0], errors.argmin(0)[None], 0)[0]
    steps, is_exact = _signed_steps(blocks)
    best = np.where(is_exact, steps, best)
    least = np.where(is_exact, -8, -7)[..., None]
    nibbles = (_multiples(blocks, best[..., None], least) + 8).astype(np.uint8).reshape(values.shape)
    half = values.shape[1] // 2
    return nibbles[:, :half] + 16 * nibbles[:, half:], best.astype(np.float16)


def unpack_int4(packed: NDArray[np.uint8], steps: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return the table of `pack_int4`, (rows, width)."""
    multiples = np.concatenate([packed % 16, packed // 16], 1).astype(np.float32) - 8
    table: NDArray[np.float32] = multiples.reshape(*steps.shape, BLOCK_WIDTH) * steps[..., None].astype(np.float32)
    return table.reshape(len(packed), -1)


def _signed_steps(blocks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the step of each block that makes its largest number -8 steps, and whether all of it are whole steps then.

    So are tables that were published in 4 bits (llama.cpp's Q4_0), which lose nothing when they are packed again.
    """
    place = np.abs(blocks).argmax(-1)[..., None]
    steps = (np.take_along_axis(blocks, place, -1) / -8).astype(np.float16).astype(np.float32)
    safe = np.where(steps == 0, 1, steps)
    is_exact = (_multiples(blocks, safe, -8) * safe == blocks).all(-1) & (steps[..., 0] != 0)
    return steps[..., 0], is_exact


def _multiples(
    blocks: NDArray[np.float32], steps: NDArray[np.float32], least: int | NDArray[np.int64] = -7
) -> NDArray[np.float32]:
    """Return the nearest multiples of the steps, `least` to 7."""
    return np.clip(np.round(blocks / steps), least, 7)


def _initializer(values: NDArray[Any], name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values), name)


def _restore(rounded: str, scales: str, name: str) -> list[onnx.NodeProto]:
    """Return the nodes that cast and multiply. Of constants, ONNX Runtime computes them once when it loads a graph."""
    return [
        helper.make_node("Cast", [rounded], [f"{name}_cast"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_cast", scales], [name]),
    ]


def _gather_int8(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return nodes that look rows up in 8 bits and restore them afterwards, so that the table stays small in memory."""
    table, ids = node.input
    out = node.output[0]
    return [
        helper.make_node("Gather", [f"{table}_int8", ids], [f"{out}_rows"], axis=0),
        helper.make_node("Gather", [f"{table}_scale", ids], [f"{out}_scales"], axis=0),
        *_restore(f"{out}_rows", f"{out}_scales", out),
    ]


_INT4_CONSTANTS = [
    numpy_helper.from_array(np.array([0, 0, -1, BLOCK_WIDTH], np.int64), "in_blocks"),
    numpy_helper.from_array(np.array([0, 0, -1], np.int64), "in_rows"),
    numpy_helper.from_array(np.array([-1], np.int64), "last_axis"),
    numpy_helper.from_array(np.array(16, np.float32), "sixteen"),
    numpy_helper.from_array(np.array(8, np.float32), "eight"),
]


def _gather_int4(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return `unpack_int4` of the rows looked up, in operators that every runtime has; ids are (rows, tokens)."""
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
    results = {result for _, _, result, _ in steps}
    # Several tables may be unpacked in one graph: each has names of its own.
    unique = {name: name if name == out else f"{out}_{name}" for name in results}
    return [
        helper.make_node(kind, [unique.get(name, name) for name in inputs], [unique[result]], **attributes)
        for kind, inputs, result, attributes in steps
    ]
