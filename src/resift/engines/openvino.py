"""The engine that runs exported folders with OpenVINO: faster than ONNX Runtime on many Intel CPUs. No torch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift._util.model_files import way_out
from resift.engines.onnx import OnnxScorer
from resift.errors import InputError, MissingExtraError, ModelFileError

try:
    import openvino
    from openvino import opset13 as ops
    from openvino.frontend.onnx import ConversionExtension
except ImportError as error:
    raise MissingExtraError("the openvino engine", "openvino") from error


ONNX_TYPES = {"i64": "int64", "i32": "int32", "f32": "float", "f16": "float16", "f64": "double", "boolean": "bool"}


class OpenVINOScorer(OnnxScorer):
    """Scores with a cross-encoder exported to ONNX, as `OnnxScorer` does, but OpenVINO runs the graphs.

    On a CPU with int8 instructions OpenVINO may compute a folder exported as `int8` in 8 bits; the scores then differ
    a little from float32's.

    Args:
        folder: A folder that `resift export` wrote, or any Hugging Face folder or id with `model.onnx` and
            `tokenizer.json`.
        long_documents: "truncate", "max_window" or "first_window", as for `OnnxScorer`; so are all other options.
        max_length: Tokens to read of a pair, or of a document if documents are encoded apart from queries.
        batch_tokens: Tokens in one batch, padding included.
        control_tokens: What a special token is that a text spells.
        threads: CPU threads, at least 1. Default: OpenVINO chooses.
        revision: Commit, tag or branch of a Hugging Face id.
        local_files_only: Never ask the Hugging Face hub.
        keep_states: Bytes of document states to keep.
        states_file: A file for document states.

    Raises:
        ModelFileError: The folder is incomplete or damaged, or OpenVINO can't load its graph.
        InputError: An option is impossible for this model.
    """

    engine = "openvino"
    _reads_rounded = False

    @staticmethod
    def _runtime() -> str:
        return f"openvino {openvino.get_version()}"

    @staticmethod
    def _open_graph(graph: Path, threads: int | None) -> Any:
        return _OpenVINOSession(graph, threads)


class _OpenVINOSession:
    """A compiled graph with those methods of an ONNX Runtime session that networks use. Any thread may run it."""

    def __init__(self, path: Path, threads: int | None) -> None:
        if threads is not None and threads < 1:
            raise InputError(f"threads must be at least 1, got {threads}")
        core = openvino.Core()
        for operator, convert in OPERATOR_CONVERSIONS.items():
            core.add_extension(ConversionExtension(operator, "com.microsoft", convert))
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
        except RuntimeError as error:
            raise ModelFileError(f"{path} can't be loaded by OpenVINO: {error}; {way_out(path)}") from error
        self._local = threading.local()  # an inference request serves one thread at a time

    def get_inputs(self) -> list[SimpleNamespace]:
        """Return the inputs: `name`, `type` as ONNX Runtime names it, and `shape`."""
        return [
            SimpleNamespace(name=_onnx_name(port), type=_onnx_type(port), shape=_shape(port))
            for port in self._compiled.inputs
        ]

    def get_outputs(self) -> list[SimpleNamespace]:
        """Return the outputs: `name` and `shape`."""
        return [SimpleNamespace(name=_onnx_name(port), shape=_shape(port)) for port in self._compiled.outputs]

    def run(self, _: None, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return all outputs."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        results = self._local.request.infer(dict(inputs))
        return [np.array(results[port]) for port in self._compiled.outputs]


def _onnx_name(port: Any) -> str:
    """Return a port's name in the ONNX graph. It has the names of casts too that were removed beside it."""
    names: set[str] = port.get_names()
    return min(names, key=lambda name: ("/" in name or "::" in name, name))


def _onnx_type(port: Any) -> str:
    """Return an input's type in ONNX Runtime's words, such as `tensor(int64)`."""
    name = port.get_element_type().to_string()
    return f"tensor({ONNX_TYPES.get(name, name)})"


def _shape(port: Any) -> list[int | None]:
    """Return a shape, with None for a dimension that is not constant."""
    return [size.get_length() if size.is_static else None for size in port.get_partial_shape()]


def _convert_attention(node: Any) -> Sequence[Any]:
    """Convert ONNX Runtime's MultiHeadAttention, as the bundled model has it.

    It has three inputs (rows, tokens, width), a bias, and the attributes `num_heads` and `scale`.
    """
    heads, scale = node.get_attribute("num_heads"), node.get_attribute("scale")
    split = ops.constant(np.array([0, 0, heads, -1], np.int64))
    order = ops.constant(np.array([0, 2, 1, 3], np.int64))
    parts = [ops.transpose(ops.reshape(node.get_input(index), split, True), order) for index in range(3)]
    bias = node.get_input(5)
    mixed = ops.scaled_dot_product_attention(*parts, bias, ops.constant(np.float32(scale)))
    merged = ops.constant(np.array([0, 0, -1], np.int64))
    outputs: Sequence[Any] = ops.reshape(ops.transpose(mixed, order), merged, True).outputs()
    return outputs


OPERATOR_CONVERSIONS = {"MultiHeadAttention": _convert_attention}
"""Operators of the bundled model that OpenVINO can't read by itself, with their conversions."""
