"""Attention, and sums before a layer norm, as ONNX Runtime's fused operators (domain com.microsoft).

ONNX Runtime fuses biases and GELU itself when it loads a graph, but knows attention and layer norms only in the forms
of some exporters, which are not those of ours. Both operators here compute in float32 what the nodes they replace do:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from resift.export.passes.graph import CONTRIB, Graph, attribute, make

HEADS_FIRST = [0, 2, 1, 3]  # (rows, tokens, heads, size) to (rows, heads, tokens, size), and back


@dataclass(frozen=True, slots=True)
class _Attention:
    """One layer's attention: where its inputs, (rows, tokens, width), come from."""

    query: str
    key: str
    value: str
    bias: str
    heads: int
    scale: float
    output: str


def fuse_attention(graph: Graph) -> None:
    """Softmax(Q x K' x scale + bias) x V over heads, written out, becomes one `MultiHeadAttention`."""
    makers, readers = graph.makers(), graph.readers()
    found = [_attention(graph, node, makers, readers) for node in graph.nodes if node.op_type == "Softmax"]
    outputs = {one.output: one for one in found if one is not None}
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        one = outputs.get(node.output[0])
        nodes += [node] if one is None else _fused(graph, one)
    graph.nodes = nodes


def _fused(graph: Graph, one: _Attention) -> list[onnx.NodeProto]:
    nodes, bias = [], one.bias
    if graph.size(bias, 2) == 1 and graph.size(one.query, 1) != 1:
        # One row for all queries; the operator wants a row for each.
        shape, tokens, whole, bias = (graph.name(stem) for stem in ("shape", "tokens", "shape", "bias"))
        nodes = [
            make("Shape", [one.query], shape),
            make("Slice", [shape, *(graph.number(value) for value in (1, 2, 0))], tokens),
            make("Concat", [graph.number(1, 1), tokens, graph.number(1)], whole, axis=0),
            make("Expand", [one.bias, whole], bias),
        ]
    inputs = [one.query, one.key, one.value, "", "", bias]
    nodes.append(make("MultiHeadAttention", inputs, one.output, CONTRIB, num_heads=one.heads, scale=one.scale))
    return nodes


def _attention(
    graph: Graph,
    softmax: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    readers: Mapping[str, Sequence[onnx.NodeProto]],
) -> _Attention | None:
    """The attention around a Softmax; None for any other form than the plain one (DeBERTa's, rotary positions)."""
    mixed = _only(readers, softmax.output[0], "MatMul")
    back = _only(readers, mixed.output[0], "Transpose") if mixed else None
    merged = _only(readers, back.output[0], "Reshape") if back else None
    biased = _made(makers, softmax.input[0], "Add")
    if mixed is None or back is None or merged is None or biased is None or attribute(back, "perm") != HEADS_FIRST:
        return None
    for scaled, bias in (biased.input, reversed(biased.input)):
        product = _scaled(graph, scaled, makers)
        if product is None or graph.rank(bias) != 4:
            continue
        scores, scale = product
        query = _heads(graph, scores.input[0], makers, HEADS_FIRST)
        key = _heads(graph, scores.input[1], makers, [0, 2, 3, 1])
        value = _heads(graph, mixed.input[1], makers, HEADS_FIRST)
        if query and key and value and graph.rank(merged.output[0]) == 3:
            (asked, heads), (read, _), (taken, _) = query, key, value
            return _Attention(asked, read, taken, bias, heads, scale, merged.output[0])
    return None


def _scaled(graph: Graph, name: str, makers: Mapping[str, onnx.NodeProto]) -> tuple[onnx.NodeProto, float] | None:
    """The matrix product that was multiplied or divided by a number, and the factor."""
    node = makers.get(name)
    if node is None or node.op_type not in ("Mul", "Div"):
        return None
    number = graph.constants.get(node.input[1])
    product = _made(makers, node.input[0], "MatMul")
    if number is None or number.size != 1 or product is None:
        return None
    factor = float(np.asarray(number).reshape(-1)[0])
    return product, factor if node.op_type == "Mul" else 1 / factor


def _heads(graph: Graph, name: str, makers: Mapping[str, onnx.NodeProto], order: list[int]) -> tuple[str, int] | None:
    """What was split into heads, and how many there are. `order` may come as two transpositions."""
    moved = _made(makers, name, "Transpose")
    if moved is None:
        return None
    found, source = list(attribute(moved, "perm")), moved.input[0]
    inner = _made(makers, source, "Transpose")
    if inner is not None:
        found, source = [attribute(inner, "perm")[place] for place in found], inner.input[0]
    split = _made(makers, source, "Reshape")
    if split is None or found != order or graph.rank(split.input[0]) != 3 or graph.rank(split.output[0]) != 4:
        return None
    parts = graph.parts(split.input[1])
    heads, size = parts[-2:] if parts else (None, None)
    width = graph.size(split.input[0], 2)
    if heads is None or heads < 0:
        heads = width // size if width and size and size > 0 else None
    return None if heads is None else (split.input[0], heads)


def fuse_norms(graph: Graph) -> None:
    """LayerNorm(residual + projection), with the projection's bias, becomes one `SkipLayerNormalization`."""
    makers, readers = graph.makers(), graph.readers()
    sums: set[str] = set()  # that the fused node gives as well
    nodes = []
    for node in graph.nodes:
        added = _made(makers, node.input[0], "Add") if node.op_type == "LayerNormalization" else None
        parts = _residual(graph, added, makers, readers) if added is not None else None
        if added is None or parts is None or attribute(node, "axis", -1) not in (-1, 2):
            nodes.append(node)
            continue
        projection, skip, bias = parts
        inputs = [projection, skip, node.input[1], node.input[2] if len(node.input) > 2 else "", bias]
        while not inputs[-1]:
            inputs.pop()  # what is left out at the end is not written as empty: OpenVINO stumbles over it
        epsilon = float(attribute(node, "epsilon", 1e-5))
        fused = make("SkipLayerNormalization", inputs, node.output[0], CONTRIB, epsilon=epsilon)
        if len(readers[added.output[0]]) > 1:
            fused.output.extend(["", "", added.output[0]])
            sums.add(added.output[0])
        nodes.append(fused)
    graph.nodes = [node for node in nodes if node.op_type != "Add" or node.output[0] not in sums]


def _residual(
    graph: Graph,
    added: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    readers: Mapping[str, Sequence[onnx.NodeProto]],
) -> tuple[str, str, str] | None:
    """Projection, residual and the projection's bias ("" without one); None for another sum (of embeddings)."""
    for one, other in (added.input, reversed(added.input)):
        if graph.rank(one) != 3 or graph.rank(other) != 3:
            return None
        if _made(makers, one, "MatMul") is not None:
            return one, other, ""
        biased = _made(makers, one, "Add")
        if biased is None or len(readers[one]) != 1:
            continue
        for vector, product in (biased.input, reversed(biased.input)):
            weight = graph.constants.get(vector)
            if weight is not None and weight.ndim == 1 and _made(makers, product, "MatMul") is not None:
                return product, other, vector
    return None


def _made(makers: Mapping[str, onnx.NodeProto], name: str, kind: str) -> onnx.NodeProto | None:
    node = makers.get(name)
    return node if node is not None and node.op_type == kind else None


def _only(readers: Mapping[str, Sequence[onnx.NodeProto]], name: str, kind: str) -> onnx.NodeProto | None:
    found = readers.get(name, ())
    return found[0] if len(found) == 1 and found[0].op_type == kind else None
