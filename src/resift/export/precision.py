"""The precisions a graph can be exported in. What each is worth is measured by tests/benchmarks/precision.py.

float32       as traced
int8          weights alone are 8-bit and restored on loading: small files, float32's speed, scores free of the batch
int8-dynamic  weights per channel and activations in 8 bits: the fastest; one scale for all activations of a batch, so
              that a score moves a little with the company it is computed in
int8-blocks   weights in blocks of 128, activations row by row: scores free of the batch; slower than int8-dynamic
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from resift.errors import InputError
from resift.export.int8 import quantize_weights
from resift.export.passes._graph import CONTRIB, make

BLOCK = 128
INT8_ROWS = 4  # MatMulNBits' accuracy level: activations in 8 bits, a scale for each block of a row


def check_precision(precision: str) -> None:
    """Raises InputError for a precision there is not."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")


def quantize(path: Path, precision: str) -> None:
    """Rewrites the float32 graph at `path`. Raises InputError for a precision there is not."""
    check_precision(precision)
    PRECISIONS[precision](path)


def quantize_activations(path: Path) -> None:
    """8-bit matrix products: weights per output channel, activations with one scale each time they are computed."""
    model = onnx.load(path)
    add_pre_process_metadata(model)  # or it asks, in the log, for passes that ours have made needless
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it warns of operators whose types it doesn't know; all are float32
    try:
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    finally:
        root.setLevel(level)
    quantize_tables(path)


def quantize_blocks(path: Path) -> None:
    """8-bit matrix products: weights by blocks of a column, activations by blocks of a row (`MatMulNBits`)."""
    model = onnx.load(path)
    weights = {one.name: one for one in model.graph.initializer}
    done: dict[str, list[onnx.TensorProto]] = {}
    nodes = []
    for node in model.graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or len(weight.dims) != 2 or weight.dims[0] % BLOCK:
            nodes.append(node)
            continue
        if weight.name not in done:
            done[weight.name] = _blocks(numpy_helper.to_array(weight), weight.name)
        deep, wide = weight.dims
        inputs = [node.input[0], *(one.name for one in done[weight.name])]
        sizes = {"K": deep, "N": wide, "bits": 8, "block_size": BLOCK, "accuracy_level": INT8_ROWS}
        nodes.append(make("MatMulNBits", inputs, node.output[0], CONTRIB, **sizes))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *(one for made in done.values() for one in made)])
    if done and CONTRIB not in {one.domain for one in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))
    onnx.save(model, path)
    quantize_tables(path)


def _blocks(weight: NDArray[np.float32], name: str) -> list[onnx.TensorProto]:
    """The weight, (deep, wide), as unsigned 8-bit values around 128, (wide, blocks, block), and their scales."""
    deep, wide = weight.shape
    blocks = weight.T.reshape(wide, deep // BLOCK, BLOCK)
    scales = np.abs(blocks).max(-1) / 127
    scales[scales == 0] = 1.0
    values = (np.round(blocks / scales[..., None]) + 128).astype(np.uint8)
    return [
        numpy_helper.from_array(values, f"{name}_blocks"),
        numpy_helper.from_array(scales.astype(np.float32).reshape(-1), f"{name}_scales"),
    ]


def quantize_tables(path: Path) -> None:
    """8-bit embedding tables."""
    quantize_weights(path, matrices=False)


PRECISIONS: dict[str, Callable[[Path], None]] = {
    "float32": lambda _: None,
    "int8": quantize_weights,
    "int8-dynamic": quantize_activations,
    "int8-blocks": quantize_blocks,
}
