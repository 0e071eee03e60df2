"""4-bit embedding tables: packed, unpacked, and looked up by the graph as `unpack_int4` says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from resift.export.int8_weights import pack_int4, quantize_weights, unpack_int4

TABLE = np.random.default_rng(7).normal(0, 0.05, (300, 96)).astype(np.float32)
TABLE[5] = 0


def test_packed_tables_come_back_nearly_as_they_were() -> None:
    unpacked = unpack_int4(*pack_int4(TABLE))
    assert np.linalg.norm(unpacked - TABLE) / np.linalg.norm(TABLE) < 0.11
    assert not unpacked[5].any()
    packed, steps = pack_int4(TABLE)
    assert (packed.shape, packed.dtype, steps.shape) == ((300, 48), np.uint8, (300, 3))


def test_a_table_that_was_published_in_4_bits_stays_as_it_was() -> None:
    draw = np.random.default_rng(8)
    numbers = draw.integers(-8, 8, (300, 3, 32))
    numbers[:, :, 7] = -8  # the largest of each block, as Q4_0 has it; its step may be below 0
    steps = draw.normal(0, 0.01, (300, 3, 1)).astype(np.float16).astype(np.float32)
    published = (numbers * steps).astype(np.float32).reshape(300, 96)
    assert np.array_equal(unpack_int4(*pack_int4(published)), published)


def test_other_tables_have_symmetric_numbers() -> None:
    packed, _ = pack_int4(TABLE)
    assert min((packed % 16).min(), (packed // 16).min()) == 1


def test_the_graph_looks_up_what_unpack_int4_says(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", "tokens"])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["rows", "tokens", 96])]
    node = helper.make_node("Gather", ["table", "ids"], ["out"])
    graph = helper.make_graph([node], "lookup", inputs, outputs, [numpy_helper.from_array(TABLE, "table")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    quantize_weights(path, narrow=300)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ids = np.array([[0, 299, 7], [5, 5, 1]])
    assert np.array_equal(session.run(None, {"ids": ids})[0], unpack_int4(*pack_int4(TABLE))[ids])
    assert path.stat().st_size < TABLE.nbytes / 5
