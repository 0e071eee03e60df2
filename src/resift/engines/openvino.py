"""The same exported folders through OpenVINO: faster than ONNX Runtime on many Intel processors. Needs no torch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift.engines.onnx import OnnxScorer
from resift.errors import InputError, MissingExtraError, ModelFileError

try:
    import openvino
    from openvino import opset13 as ops
    from openvino.frontend.onnx import ConversionExtension
except ImportError as error:
    raise MissingExtraError("the openvino engine", "openvino") from error


class OpenVINOScorer(OnnxScorer):
    """Scores as `OnnxScorer` does, with its options and the same folders; OpenVINO runs the graphs.

    A processor with int8 instructions may compute a folder exported as `int8` in 8 bits: OpenVINO decides. Scores
    are then a little off float32's.
    """

    engine = "openvino"

    @staticmethod
    def _open(graph: Path, threads: int | None) -> Any:
        return _Session(graph, threads)


class _Session:
    """A compiled graph with the calls of an ONNX Runtime session that networks use. Any thread may run it."""

    def __init__(self, path: Path, threads: int | None) -> None:
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, got {threads}")
        core = openvino.Core()
        for kind, convert in CONVERSIONS.items():
            core.add_extension(ConversionExtension(kind, "com.microsoft", convert))
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
        except RuntimeError as error:
            raise ModelFileError(f"{path} can't be loaded by OpenVINO: {error}") from error
        self._own = threading.local()  # a request serves one thread at a time

    def get_inputs(self) -> list[SimpleNamespace]:
        """The names of the inputs."""
        return [SimpleNamespace(name=one.get_any_name()) for one in self._compiled.inputs]

    def get_outputs(self) -> list[SimpleNamespace]:
        """The shapes of the outputs, None for a dimension that is not constant."""
        shapes = [one.get_partial_shape() for one in self._compiled.outputs]
        return [
            SimpleNamespace(shape=[size.get_length() if size.is_static else None for size in shape]) for shape in shapes
        ]

    def run(self, _: None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The outputs."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer(dict(inputs))
        return [np.array(found[one]) for one in self._compiled.outputs]


def _attention(node: Any) -> Sequence[Any]:
    """ONNX Runtime's MultiHeadAttention: (rows, tokens, width) each, a bias, `num_heads` and `scale`."""
    heads, scale = node.get_attribute("num_heads"), node.get_attribute("scale")
    split = ops.constant(np.array([0, 0, heads, -1], np.int64))
    order = ops.constant(np.array([0, 2, 1, 3], np.int64))
    parts = [ops.transpose(ops.reshape(node.get_input(place), split, True), order) for place in range(3)]
    bias = node.get_input(5)
    mixed = ops.scaled_dot_product_attention(*parts, bias, ops.constant(np.float32(scale)))
    merged = ops.constant(np.array([0, 0, -1], np.int64))
    outputs: Sequence[Any] = ops.reshape(ops.transpose(mixed, order), merged, True).outputs()
    return outputs


CONVERSIONS = {"MultiHeadAttention": _attention}
"""Fused operators of our exports that OpenVINO doesn't read by itself."""
