"""Where a model reads one position of its last layer ([CLS]), that layer is computed for this position alone.

The selection of position 0 is moved from the end of the graph towards its beginning, through every operator that
computes positions independently: the feed-forward, layer norms, the residual, the rows of the attention matrix and the
query projection. It stops where another node needs all positions (keys and values), and where an operator is not known
to allow it: there a `Slice` is inserted. So the result is exact for every architecture; only the work saved differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import onnx

from resift.export.passes.graph import Graph, Shape, attribute, make

Edges = dict[int, int]
"""Index of a node's input → the axis along which position 0 of it is enough."""


def first_position_only(graph: Graph) -> None:
    """Narrow tensors of which only position 0 is read. A graph that reads all of them (mean pooling) stays as it is."""
    narrow = _find_narrow(graph)
    if narrow.tensors:
        _rewrite(graph, narrow)


class _Narrow:
    """Tensors that shrink to one position, and inputs of which one position is needed."""

    def __init__(self) -> None:
        self.tensors: dict[str, int] = {}  # name → the axis of positions
        self.edges: dict[int, Edges] = {}  # index of the node → its edges


def _find_narrow(graph: Graph) -> _Narrow:
    """Go from the outputs backwards, so that all readers of a tensor are known before the node that makes it."""
    narrow = _Narrow()
    needed_axes: dict[str, list[int | None]] = defaultdict(list)  # one entry per reader; None: all positions
    for output in graph.model.graph.output:
        needed_axes[output.name].append(None)
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        edges = _edges(graph, node, needed_axes)
        if edges is not None and not _reads_first(graph, node):
            narrow.tensors[node.output[0]] = needed_axes[node.output[0]][0] or 0
        narrow.edges[index] = edges or {}
        for number, name in enumerate(node.input):
            # A `Shape` needs no values: the shape of a narrowed tensor can be computed from the number of tokens.
            if node.op_type != "Shape":
                needed_axes[name].append(narrow.edges[index].get(number))
    return narrow


def _edges(graph: Graph, node: onnx.NodeProto, needed_axes: dict[str, list[int | None]]) -> Edges | None:
    """Return which inputs of a node need one position only; None where all of it must be computed."""
    if _reads_first(graph, node):
        return {0: 1}
    axes = set(needed_axes[node.output[0]])
    if len(axes) != 1 or any(needed_axes[name] for name in node.output[1:]):
        return None
    axis = axes.pop()
    rank = graph.rank(node.output[0])
    if axis is None or rank is None:
        return None
    rule = RULES.get(node.op_type)
    return rule(graph, node, axis, rank) if rule else None


def _reads_first(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a node is `states[:, 0]`."""
    return (
        node.op_type == "Gather"
        and attribute(node, "axis", 0) == 1
        and graph.rank(node.input[0]) == 3
        and node.input[1] in graph.constants
        and graph.constants[node.input[1]].ndim == 0
        and int(graph.constants[node.input[1]]) == 0
    )


def _rewrite(graph: Graph, narrow: _Narrow) -> None:
    """Insert slices where narrow parts begin, and mend the shapes that are computed from narrow tensors."""
    slices: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []
    tokens = graph.name("tokens")
    nodes += _count_tokens(graph, tokens)
    for index, node in enumerate(graph.nodes):
        if node.op_type == "Shape" and node.input[0] in narrow.tensors:
            nodes += _full_shape(graph, node, narrow.tensors[node.input[0]], tokens)
            continue
        if node.op_type == "Reshape" and node.output[0] in narrow.tensors:
            axis = narrow.tensors[node.output[0]]
            shape, node.input[1] = node.input[1], graph.name("shape")
            nodes += _shape_with_one(graph, shape, axis, node.input[1])
        for number, axis in narrow.edges[index].items():
            name = node.input[number]
            if name in narrow.tensors:
                continue
            if (name, axis) not in slices:
                slices[name, axis] = graph.name("first")
                bounds = [graph.number(value) for value in (0, 1, axis)]
                nodes.append(make("Slice", [name, *bounds], slices[name, axis]))
                graph.shapes[slices[name, axis]] = _with_one(graph, name, axis)
            node.input[number] = slices[name, axis]
        nodes.append(node)
    graph.shapes |= {name: _with_one(graph, name, axis) for name, axis in narrow.tensors.items()}
    graph.nodes = nodes


def _with_one(graph: Graph, name: str, axis: int) -> Shape:
    """Return a tensor's shape with one position along the axis."""
    return tuple(1 if other == axis else graph.size(name, other) for other in range(graph.rank(name) or 0))


def _count_tokens(graph: Graph, tokens: str) -> list[onnx.NodeProto]:
    """Return nodes that compute the size which narrowed axes had."""
    shape = graph.name("shape")
    source = graph.model.graph.input[0].name
    return [
        make("Shape", [source], shape),
        make("Slice", [shape, *(graph.number(value) for value in (1, 2, 0))], tokens),
    ]


def _full_shape(graph: Graph, node: onnx.NodeProto, axis: int, tokens: str) -> list[onnx.NodeProto]:
    """Return nodes that compute the shape which a narrowed tensor had."""
    current, before, after = (graph.name("shape") for _ in range(3))
    rank = graph.rank(node.input[0]) or 0
    parts = [before, tokens, *([after] if axis + 1 < rank else [])]
    return [
        make("Shape", [node.input[0]], current),
        make("Slice", [current, *(graph.number(value) for value in (0, axis, 0))], before),
        make("Slice", [current, *(graph.number(value) for value in (axis + 1, rank, 0))], after),
        make("Concat", parts, node.output[0], axis=0),
    ]


def _shape_with_one(graph: Graph, shape: str, axis: int, output: str) -> list[onnx.NodeProto]:
    """Return nodes that compute the shape with 1 at the axis.

    The shape is a constant or a concatenation, for `Graph.parts` has read it.
    """
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


def _elementwise(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rule of operators that go element by element, with numpy's broadcasting."""
    edges: Edges = {}
    for number, name in enumerate(node.input):
        own = graph.rank(name)
        if own is None:
            return None
        own_axis = axis - (rank - own)
        if own_axis >= 0 and graph.size(name, own_axis) != 1:
            edges[number] = own_axis
    return edges


def _along_axis(_: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rule of operators that work along an axis, or along all axes from it on: positions must not be among them."""
    own_axis = int(attribute(node, "axis", -1)) % rank
    is_independent = axis < own_axis if node.op_type == "LayerNormalization" else axis != own_axis
    if not is_independent:
        return None
    return dict.fromkeys(range(len(node.input)), axis) if node.op_type in ("Concat", "GatherElements") else {0: axis}


def _matrix_product(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rule of a matrix product: positions are rows of the left matrix."""
    return {0: axis} if axis == rank - 2 and graph.rank(node.input[0]) == rank else None


def _transposition(_: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rule of a transposition: positions had another axis."""
    return {0: int(attribute(node, "perm", range(rank)[::-1])[axis])}


def _reshape(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rule of a reshape: axes before the open one (-1) are counted from the front, those after it from the back."""
    parts = graph.parts(node.input[1])
    before = graph.rank(node.input[0])
    if parts is None or before is None or parts.count(-1) != 1 or parts.index(-1) == axis:
        return None
    own_axis = axis if axis < parts.index(-1) else axis - (rank - before)
    return {0: own_axis} if 0 <= own_axis < before else None


def _squeeze(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rule of operators that add or remove axes of size 1."""
    axes = graph.integers(node.input[1]) if len(node.input) > 1 else None
    if axes is None:
        return None
    if node.op_type == "Unsqueeze":
        added = {new % rank for new in axes}
        return None if axis in added else {0: axis - sum(new < axis for new in added)}
    wider = rank + len(axes)
    removed = {old % wider for old in axes}
    return {0: [old for old in range(wider) if old not in removed][axis]}


def _slice(graph: Graph, node: onnx.NodeProto, axis: int, rank: int) -> Edges | None:
    """Rule of a slice along other axes."""
    axes = graph.integers(node.input[3]) if len(node.input) > 3 else None
    return None if axes is None or axis in {cut % rank for cut in axes} else {0: axis}


Rule = Callable[[Graph, onnx.NodeProto, int, int], Edges | None]
ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Pow", "Where", "Cast", "Erf", "Tanh", "Sqrt", "Neg", "Relu", "Sigmoid")
RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(("LayerNormalization", "Softmax", "Concat", "GatherElements"), _along_axis),
    "MatMul": _matrix_product,
    "Transpose": _transposition,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _squeeze,
    "Slice": _slice,
}
