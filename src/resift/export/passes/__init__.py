"""Rewrites an exported graph so that it costs less and scores the same.

`tighten` runs the graph before and after, and keeps the result only if both score alike. Operators stay those of the
ONNX standard: ONNX Runtime fuses what is faster fused when it loads a graph (docs/decisions.md).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession, NodeArg, SessionOptions

from resift.export.passes.first_position import first_position_only
from resift.export.passes.graph import Graph

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5  # of the largest output: another order of the same float32 sums may change this much
TOKEN_IDS = 100  # of the inputs that graphs are compared on: ids below are in every vocabulary
SHAPES = ((3, 7), (2, 33))  # rows and tokens of these inputs


def tighten(path: Path) -> bool:
    """Rewrite the float32 graph at `path` to need less work for the same scores; return False if it was left as it is.

    The last layer computes queries, attention rows and feed-forward only for the position that is read.
    """
    before = onnx.load(path)
    graph = Graph.read(before)
    first_position_only(graph)
    after = graph.write()
    if not _give_same_outputs(before, after):
        logger.warning("%s gives other scores once its graph is rewritten: it is exported as traced", path)
        return False
    onnx.save(after, path)
    return True


def _give_same_outputs(before: onnx.ModelProto, after: onnx.ModelProto) -> bool:
    """Return whether two graphs give the same outputs for padded rows of any ids."""
    sessions = [_session(model) for model in (before, after)]
    generator = np.random.default_rng(0)
    for rows, tokens in SHAPES:
        inputs = {argument.name: _sample(argument, rows, tokens, generator) for argument in sessions[0].get_inputs()}
        for expected, output in zip(*(session.run(None, inputs) for session in sessions), strict=True):
            tolerance = TOLERANCE * max(1, np.abs(expected).max())
            if output.shape != expected.shape or not np.allclose(output, expected, atol=tolerance):
                return False
    return True


def _sample(argument: NodeArg, rows: int, tokens: int, generator: np.random.Generator) -> NDArray[Any]:
    """Return values for an input: a mask whose rows have different lengths, states, vectors, or ids of tokens."""
    mask: NDArray[np.int64] = (np.arange(tokens) < tokens - np.arange(rows)[:, None]).astype(np.int64)
    if "mask" in argument.name:
        return mask
    if "float" in argument.type:
        shape = (rows, tokens, argument.shape[2]) if len(argument.shape) == 3 else (rows, argument.shape[1])
        return generator.standard_normal(shape, np.float32)
    return mask * generator.integers(0, 2 if "type" in argument.name else TOKEN_IDS, (rows, tokens), np.int64)


def _session(model: onnx.ModelProto) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
