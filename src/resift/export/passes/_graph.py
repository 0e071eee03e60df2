"""An ONNX graph with what a rewrite has to know of it: who makes a tensor, who reads it, its rank and constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

CONTRIB = "com.microsoft"  # ONNX Runtime's own operators
Shape = tuple[int | None, ...]


@dataclass(slots=True)
class Graph:
    """Nodes in topological order, and constants by name. Aliases (`Identity`) are resolved on reading."""

    model: onnx.ModelProto
    nodes: list[onnx.NodeProto]
    constants: dict[str, NDArray[Any]]
    shapes: dict[str, Shape]
    """Known ranks; a dimension that is not constant is None."""
    made: int = field(default=0)

    @classmethod
    def read(cls, model: onnx.ModelProto) -> Graph:
        """The graph of a model, which stays as it is."""
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        shapes = _shapes(copied)
        constants = {one.name: numpy_helper.to_array(one) for one in copied.graph.initializer}
        alias: dict[str, str] = {}
        nodes = []
        outputs = {one.name for one in copied.graph.output}
        for node in copied.graph.node:
            for place, name in enumerate(node.input):
                node.input[place] = alias.get(name, name)
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == "Identity" and node.output[0] not in outputs:
                alias[node.output[0]] = node.input[0]
            else:
                nodes.append(node)
        return cls(copied, nodes, constants, shapes)

    def write(self) -> onnx.ModelProto:
        """The model with the nodes and constants that its outputs need."""
        needed = {one.name for one in self.model.graph.output}
        kept = []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(reversed(kept))
        graph.initializer.extend(
            numpy_helper.from_array(values, name) for name, values in self.constants.items() if name in needed
        )
        if any(node.domain == CONTRIB for node in kept) and CONTRIB not in {
            one.domain for one in self.model.opset_import
        }:
            self.model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        return self.model

    def makers(self) -> dict[str, onnx.NodeProto]:
        """Tensor → the node it comes from."""
        return {name: node for node in self.nodes for name in node.output}

    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """Tensor → the nodes that read it, and None for the graph's own outputs."""
        found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                found[name].append(node)
        return found

    def rank(self, name: str) -> int | None:
        """A tensor's number of dimensions, if it is known."""
        return self.constants[name].ndim if name in self.constants else _length(self.shapes.get(name))

    def size(self, name: str, axis: int) -> int | None:
        """The size of a tensor's axis, if it is a constant."""
        shape: Shape | None = self.constants[name].shape if name in self.constants else self.shapes.get(name)
        return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None

    def integers(self, name: str) -> list[int] | None:
        """The values of a constant of integers."""
        values = self.constants.get(name)
        return None if values is None or values.dtype.kind != "i" else [int(value) for value in values.reshape(-1)]

    def parts(self, shape: str) -> list[int | None] | None:
        """The elements of a shape, None for one that is computed; None for a shape of another making."""
        known = self.integers(shape)
        if known is not None:
            return list(known)
        maker = self.makers().get(shape)
        if maker is None or maker.op_type != "Concat":
            return None
        found: list[int | None] = []
        for name in maker.input:
            values = self.integers(name)
            if values is None and self.size(name, 0) != 1:
                return None
            found += [None] if values is None else values
        return found

    def name(self, stem: str) -> str:
        """A name nobody has."""
        self.made += 1
        return f"resift/{stem}_{self.made}"

    def constant(self, values: NDArray[Any]) -> str:
        """The name of a new constant."""
        name = self.name("constant")
        self.constants[name] = values
        return name

    def number(self, *values: int) -> str:
        """The name of a new constant list of integers."""
        return self.constant(np.array(values, np.int64))


def make(kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    """A node with one output."""
    return helper.make_node(kind, list(inputs), [output], name=output, domain=domain, **attributes)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """A node's attribute."""
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _length(shape: Shape | None) -> int | None:
    return None if shape is None else len(shape)


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return {one.name: shape for one, shape in _typed(inferred.graph)}


def _typed(graph: onnx.GraphProto) -> Iterator[tuple[onnx.ValueInfoProto, Shape]]:
    for one in (*graph.input, *graph.value_info, *graph.output):
        if one.type.tensor_type.HasField("shape"):
            dims = one.type.tensor_type.shape.dim
            yield one, tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
