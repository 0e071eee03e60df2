"""Where a model reads one position of its last layer ([CLS]), that layer is computed for this position alone.

The selection of position 0 is moved from the end of the graph towards its beginning, through every operator that
treats positions apart: the feed-forward, layer norms, the residual, the rows of the attention matrix and the query
projection. It stops where another reader needs all positions (keys and values), and where an operator is not known
to allow it: a `Slice` stands there. So the result is exact whatever the architecture; only what is saved differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import onnx

from resift.export.passes._graph import Graph, Shape, attribute, make

Edges = dict[int, int]
"""Input of a node → the axis along which position 0 of it is enough."""


def first_position_only(graph: Graph) -> None:
    """Narrows what only the first position of is read. A graph that reads all of them (mean pooling) has nothing."""
    narrow = _plan(graph)
    if narrow.tensors:
        _rewrite(graph, narrow)


class _Narrow:
    """What a plan found: tensors that shrink to one position, and the edges that ask for one."""

    def __init__(self) -> None:
        self.tensors: dict[str, int] = {}
        self.edges: dict[int, Edges] = {}  # by the node's place in the graph


def _plan(graph: Graph) -> _Narrow:
    """From the outputs backwards, so that all readers of a tensor have spoken before its maker is asked."""
    found = _Narrow()
    wants: dict[str, list[int | None]] = defaultdict(list)
    for one in graph.model.graph.output:
        wants[one.name].append(None)
    for place in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[place]
        edges = _edges(graph, node, wants)
        if edges is not None and not _reads_first(graph, node):
            found.tensors[node.output[0]] = wants[node.output[0]][0] or 0
        found.edges[place] = edges or {}
        for number, name in enumerate(node.input):
            # The shape of a narrowed tensor can still be said: asking for it needs no value.
            if node.op_type != "Shape":
                wants[name].append(found.edges[place].get(number))
    return found


def _edges(graph: Graph, node: onnx.NodeProto, wants: dict[str, list[int | None]]) -> Edges | None:
    """Which inputs of a node need one position only; None where it has to be computed whole."""
    if _reads_first(graph, node):
        return {0: 1}
    axes = set(wants[node.output[0]])
    if len(axes) != 1 or any(wants[name] for name in node.output[1:]):
        return None
    axis = axes.pop()
    rank = graph.rank(node.output[0])
    if axis is None or rank is None:
        return None
    rule = RULES.get(node.op_type)
    return rule(graph, node, axis, rank) if rule else None


def _reads_first(graph: Graph, node: onnx.NodeProto) -> bool:
    """`states[:, 0]`."""
    return (
        node.op_type == "Gather"
        and attribute(node, "axis", 0) == 1
        and graph.rank(node.input[0]) == 3
        and node.input[1] in graph.constants
        and graph.constants[node.input[1]].ndim == 0
        and int(graph.constants[node.input[1]]) == 0
    )


def _rewrite(graph: Graph, narrow: _Narrow) -> None:
    cut: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []
    tokens = graph.name("tokens")
    nodes += _count_tokens(graph, tokens)
    for place, node in enumerate(graph.nodes):
        if node.op_type == "Shape" and node.input[0] in narrow.tensors:
            nodes += _whole_shape(graph, node, narrow.tensors[node.input[0]], tokens)
            continue
        if node.op_type == "Reshape" and node.output[0] in narrow.tensors:
            axis = narrow.tensors[node.output[0]]
            whole, node.input[1] = node.input[1], graph.name("shape")
            nodes += _shape_with_one(graph, whole, axis, node.input[1])
        for number, axis in narrow.edges[place].items():
            name = node.input[number]
            if name in narrow.tensors:
                continue
            if (name, axis) not in cut:
                cut[name, axis] = graph.name("first")
                bounds = [graph.number(value) for value in (0, 1, axis)]
                nodes.append(make("Slice", [name, *bounds], cut[name, axis]))
                graph.shapes[cut[name, axis]] = _with_one(graph, name, axis)
            node.input[number] = cut[name, axis]
        nodes.append(node)
    graph.shapes |= {name: _with_one(graph, name, axis) for name, axis in narrow.tensors.items()}
    graph.nodes = nodes


def _with_one(graph: Graph, name: str, axis: int) -> Shape:
    """A tensor's shape with one position."""
    return tuple(1 if place == axis else graph.size(name, place) for place in range(graph.rank(name) or 0))


def _count_tokens(graph: Graph, tokens: str) -> list[onnx.NodeProto]:
    """The size that narrowed axes had."""
    shape = graph.name("shape")
    source = graph.model.graph.input[0].name
    return [
        make("Shape", [source], shape),
        make("Slice", [shape, *(graph.number(value) for value in (1, 2, 0))], tokens),
    ]


def _whole_shape(graph: Graph, node: onnx.NodeProto, axis: int, tokens: str) -> list[onnx.NodeProto]:
    """The shape a narrowed tensor had."""
    now, before, after = (graph.name("shape") for _ in range(3))
    rank = graph.rank(node.input[0]) or 0
    parts = [before, tokens, *([after] if axis + 1 < rank else [])]
    return [
        make("Shape", [node.input[0]], now),
        make("Slice", [now, *(graph.number(value) for value in (0, axis, 0))], before),
        make("Slice", [now, *(graph.number(value) for value in (axis + 1, rank, 0))], after),
        make("Concat", parts, node.output[0], axis=0),
    ]


def _shape_with_one(graph: Graph, shape: str, axis: int, output: str) -> list[onnx.NodeProto]:
    """The shape with 1 at that axis. `parts` could read it, so it is a constant or a concatenation."""
    known = graph.integers(shape)
    if known is not None:
        graph.constants[output] = np.array([*known[:axis], 1, *known[axis + 1 :]], np.int64)
        return []
    inputs: list[str] = []
    for name in graph.makers()[shape].input:
        values = graph.integers(name)
        inputs += [name] if values is None else [graph.number(value) for value in values]
    inputs[axis] = graph.number(1)
    return [make("Concat", inputs, output, axis=0)]


def _each(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Element by element, with numpy's broadcasting."""
    edges: Edges = {}
    for number, name in enumerate(node.input):
        own = graph.rank(name)
        if own is None:
            return None
        place = axis - (rank - own)
        if place >= 0 and graph.size(name, place) != 1:
            edges[number] = place
    return edges


def _along(_: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Along one axis, or along all from it on: positions must not be among them."""
    chosen = int(attribute(node, "axis", -1)) % rank
    clear = axis < chosen if node.op_type == "LayerNormalization" else axis != chosen
    if not clear:
        return None
    return dict.fromkeys(range(len(node.input)), axis) if node.op_type in ("Concat", "GatherElements") else {0: axis}


def _product(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rows of the left matrix."""
    return {0: axis} if axis == rank - 2 and graph.rank(node.input[0]) == rank else None


def _transposed(_: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    return {0: int(attribute(node, "perm", range(rank)[::-1])[axis])}


def _reshaped(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Axes before the one that is left open (-1) keep their place from the front, those after it from the back."""
    parts = graph.parts(node.input[1])
    before = graph.rank(node.input[0])
    if parts is None or before is None or parts.count(-1) != 1 or parts.index(-1) == axis:
        return None
    place = axis if axis < parts.index(-1) else axis - (rank - before)
    return {0: place} if 0 <= place < before else None


def _squeezed(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Axes of size 1 that come or go."""
    axes = graph.integers(node.input[1]) if len(node.input) > 1 else None
    if axes is None:
        return None
    if node.op_type == "Unsqueeze":
        added = {one % rank for one in axes}
        return None if axis in added else {0: axis - sum(one < axis for one in added)}
    wider = rank + len(axes)
    gone = {one % wider for one in axes}
    return {0: [place for place in range(wider) if place not in gone][axis]}


def _sliced(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    axes = graph.integers(node.input[3]) if len(node.input) > 3 else None
    return None if axes is None or axis in {one % rank for one in axes} else {0: axis}


def _attended(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """The fused operator: queries, and the rows of the bias, which is its sixth input."""
    if axis != 1 or rank != 3:
        return None
    return {0: 1, 5: 2} if len(node.input) > 5 and graph.rank(node.input[5]) == 4 else None


Rule = Callable[[Graph, onnx.NodeProto, int, int], Edges | None]
ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Where", "Cast", "Erf", "Tanh", "Sqrt", "Neg", "Relu", "Sigmoid")
RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _each),
    **dict.fromkeys(("LayerNormalization", "Softmax", "Concat", "GatherElements"), _along),
    "MatMul": _product,
    "MultiHeadAttention": _attended,
    "Transpose": _transposed,
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "Unsqueeze": _squeezed,
    "Slice": _sliced,
}
