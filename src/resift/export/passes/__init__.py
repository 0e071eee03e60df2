"""Rewrites of an exported graph that change its cost and not its scores.

`tighten` applies them all, runs the graph before and after, and keeps the result only if both score alike.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession, NodeArg, SessionOptions

from resift.export.passes._graph import Graph
from resift.export.passes.first_position import first_position_only
from resift.export.passes.fuse import fuse_attention, fuse_norms

logger = logging.getLogger(__name__)

SAME = 1e-5  # of the scores' size: what another order of the same float32 sums may move
FEW = 100
TRIALS = ((3, 7), (2, 33))  # rows and tokens of the inputs that graphs are compared on


def tighten(path: Path) -> bool:
    """Rewrites the float32 graph at `path` to need less work for the same scores; False if it was left as it is.

    The last layer computes queries, attention rows and feed-forward for the position that is read alone; attention,
    and additions before a layer norm, become ONNX Runtime's fused operators.
    """
    before = onnx.load(path)
    graph = Graph.read(before)
    fuse_attention(graph)
    first_position_only(graph)
    fuse_norms(graph)
    after = graph.write()
    if not _alike(before, after):
        logger.warning("%s scores otherwise once its graph is rewritten: it is exported as traced", path)
        return False
    onnx.save(after, path)
    return True


def _alike(before: onnx.ModelProto, after: onnx.ModelProto) -> bool:
    """Whether two graphs give the same outputs for padded rows of any ids."""
    sessions = [_session(model) for model in (before, after)]
    generator = np.random.default_rng(0)
    for rows, tokens in TRIALS:
        inputs = {one.name: _sample(one, rows, tokens, generator) for one in sessions[0].get_inputs()}
        for expected, found in zip(*(session.run(None, inputs) for session in sessions), strict=True):
            if found.shape != expected.shape or not np.allclose(
                found, expected, atol=SAME * max(1, np.abs(expected).max())
            ):
                return False
    return True


def _sample(one: NodeArg, rows: int, tokens: int, generator: np.random.Generator) -> NDArray[Any]:
    """A mask whose rows have different lengths, states, vectors, or as many ids of tokens that every vocabulary has."""
    mask: NDArray[np.int64] = (np.arange(tokens) < tokens - np.arange(rows)[:, None]).astype(np.int64)
    if "mask" in one.name:
        return mask
    if "float" in one.type:
        shape = (rows, tokens, one.shape[2]) if len(one.shape) == 3 else (rows, one.shape[1])
        return generator.standard_normal(shape, np.float32)
    return mask * generator.integers(0, 2 if "type" in one.name else FEW, (rows, tokens), np.int64)


def _session(model: onnx.ModelProto) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
