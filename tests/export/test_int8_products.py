"""8-bit products: rows scaled apart, sums that nothing cuts off, and each exactly what it is said to be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import InferenceSession
from transformers.utils import logging
from typer.testing import CliRunner

from resift.cli.app import app
from resift.export.precision import quantize

DEEP, WIDE = 128, 64
Floats = NDArray[np.float32]


def open_product(folder: Path, weight: Floats) -> InferenceSession:
    """Return a session that multiplies (rows, tokens, deep) with a weight, in 8 bits."""
    sides = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["rows", "tokens", size])
        for name, size in (("numbers", DEEP), ("product", WIDE))
    ]
    node = helper.make_node("MatMul", ["numbers", "weight"], ["product"])
    graph = helper.make_graph([node], "product", sides[:1], sides[1:], [numpy_helper.from_array(weight, "weight")])
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    quantize(path, "int8-dynamic")
    assert "MatMul" not in {node.op_type for node in onnx.load(path).graph.node}
    return InferenceSession(str(path), providers=["CPUExecutionProvider"])


def draw_normal(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def weight() -> Floats:
    return draw_normal(3, DEEP, WIDE)


@pytest.fixture(scope="module")
def session(weight: Floats, tmp_path_factory: pytest.TempPathFactory) -> InferenceSession:
    return open_product(tmp_path_factory.mktemp("product"), weight)


def test_it_is_near_the_float32_product(session: InferenceSession, weight: Floats) -> None:
    numbers = draw_normal(5, 3, 7, DEEP)
    exact = numbers @ weight
    difference = session.run(None, {"numbers": numbers})[0] - exact
    assert np.sqrt((difference**2).mean()) < 0.02 * np.sqrt((exact**2).mean())


def multiply_in_8_bits(numbers: Floats, weight: Floats) -> NDArray[np.float64]:
    """Return the product that `int8-dynamic` promises, without a rounding error but those of the two roundings.

    Numbers are rounded to multiples of a 127th of the largest in their row, weights of a 63rd in their column.
    """
    row_steps = np.maximum(np.abs(numbers).max(-1, keepdims=True) * np.float32(1 / 127), np.float32(1e-9))
    weight_steps = np.abs(weight).max(0) / np.float32(63)
    multiples = np.rint(numbers / row_steps).astype(np.int64) @ np.rint(weight / weight_steps).astype(np.int64)
    product: NDArray[np.float64] = multiples * (row_steps.astype(np.float64) * weight_steps)
    return product


@pytest.mark.slow  # all products again in numpy
def test_every_product_of_a_network_is_the_promised_one(exported: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    shutil.copyfile(exported("bert-6") / "model.onnx", path)
    graph = onnx.load(path).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    products = [
        (node.input[0], weights[node.input[1]], node.output[0])
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in weights
    ]
    assert len(products) == 36
    quantize(path, "int8-dynamic")
    model = onnx.load(path)
    names = {name for numbers, _, product in products for name in (numbers, product)}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ids = np.random.default_rng(0).integers(1, 100, (3, 40))
    ids[0, 30:] = ids[1, 5:] = 0
    inputs = {"input_ids": ids, "attention_mask": np.minimum(ids, 1), "token_type_ids": np.zeros_like(ids)}
    names_of_outputs = [output.name for output in session.get_outputs()]
    values = dict(zip(names_of_outputs, session.run(names_of_outputs, inputs), strict=True))
    for numbers, weight, product in products:
        expected = multiply_in_8_bits(values[numbers], weight)
        np.testing.assert_allclose(values[product], expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_a_row_knows_nothing_of_its_neighbours(session: InferenceSession, seed: int, factor: float) -> None:
    row = draw_normal(seed, 1, 1, DEEP)
    neighbours = draw_normal(seed + 1, 1, 4, DEEP) * np.float32(factor)
    alone = session.run(None, {"numbers": row})[0]
    together = session.run(None, {"numbers": np.concatenate([row, neighbours], 1)})[0]
    np.testing.assert_array_equal(together[:, :1], alone)


def test_the_largest_numbers_there_are_sum_up_whole(tmp_path: Path) -> None:
    # Processors without 8-bit dot products add two products in 16 bits, where weights of full 8 bits are cut off.
    session = open_product(tmp_path, np.ones((DEEP, WIDE), np.float32))
    product = session.run(None, {"numbers": np.ones((1, 2, DEEP), np.float32)})[0]
    np.testing.assert_allclose(product, DEEP, rtol=1e-5)


def test_a_row_of_zeros_stays_zeros(session: InferenceSession) -> None:
    numbers = np.zeros((1, 2, DEEP), np.float32)
    numbers[0, 1] = 1e-30  # less than any scale can tell
    np.testing.assert_array_equal(session.run(None, {"numbers": numbers})[0], np.zeros((1, 2, WIDE), np.float32))


def test_the_command_exports_them(saved: Callable[[str], Path], tmp_path: Path) -> None:
    logging.enable_progress_bar()
    result = CliRunner().invoke(app, ["export", str(saved("bert-2")), str(tmp_path / "out"), "--int8", "--json"])
    assert result.stderr == "", "no bar of transformers'"
    assert logging.is_progress_bar_enabled(), "what the caller has set is set again"
    report = json.loads(result.stdout)
    assert report["manifest"]["precision"] == "int8-dynamic"
    assert report["bytes"] == pytest.approx(
        sum(file.stat().st_size for file in saved("bert-2").glob("*.safetensors")) / 4, rel=0.3
    )
