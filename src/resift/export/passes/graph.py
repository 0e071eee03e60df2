"""An ONNX graph with what a rewrite must know: which node makes a tensor, its shape, and constants."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Known shapes by tensor; a dimension that is not constant is None."""
    names_made: int = field(default=0)

    @classmethod
    def read(cls, model: onnx.ModelProto) -> Graph:
        """Return the graph of a copy of the model."""
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        shapes = _shapes(copied)
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in copied.graph.initializer}
        aliases: dict[str, str] = {}
        nodes = []
        outputs = {output.name for output in copied.graph.output}
        for node in copied.graph.node:
            for index, name in enumerate(node.input):
                node.input[index] = aliases.get(name, name)
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == "Identity" and node.output[0] not in outputs:
                aliases[node.output[0]] = node.input[0]
            else:
                nodes.append(node)
        return cls(copied, nodes, constants, shapes)

    def write(self) -> onnx.ModelProto:
        """Return the model with the nodes and constants that its outputs need."""
        needed = {output.name for output in self.model.graph.output}
        nodes = []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                nodes.append(node)
                needed |= set(node.input)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(reversed(nodes))
        graph.initializer.extend(
            numpy_helper.from_array(values, name) for name, values in self.constants.items() if name in needed
        )
        domains = {opset.domain for opset in self.model.opset_import}
        if CONTRIB not in domains and any(node.domain == CONTRIB for node in nodes):
            self.model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        return self.model

    def makers(self) -> dict[str, onnx.NodeProto]:
        """Return the node that each tensor comes from, by the tensor's name."""
        return {name: node for node in self.nodes for name in node.output}

    def rank(self, name: str) -> int | None:
        """Return a tensor's number of dimensions; None if it is unknown."""
        return self.constants[name].ndim if name in self.constants else _length(self.shapes.get(name))

    def size(self, name: str, axis: int) -> int | None:
        """Return the size of a tensor's axis; None if it is no constant."""
        shape: Shape | None = self.constants[name].shape if name in self.constants else self.shapes.get(name)
        return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None

    def integers(self, name: str) -> list[int] | None:
        """Return the values of a constant of integers; None for another tensor."""
        values = self.constants.get(name)
        return None if values is None or values.dtype.kind != "i" else [int(value) for value in values.reshape(-1)]

    def parts(self, shape: str) -> list[int | None] | None:
        """Return the elements of a shape, with None for those that are computed.

        The shape must be a constant or a concatenation; None for another one.
        """
        known = self.integers(shape)
        if known is not None:
            return list(known)
        maker = self.makers().get(shape)
        if maker is None or maker.op_type != "Concat":
            return None
        parts: list[int | None] = []
        for name in maker.input:
            values = self.integers(name)
            if values is None and self.size(name, 0) != 1:
                return None
            parts += [None] if values is None else values
        return parts

    def name(self, stem: str) -> str:
        """Return a new name for a tensor."""
        self.names_made += 1
        return f"resift/{stem}_{self.names_made}"

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        name = self.name("constant")
        self.constants[name] = values
        return name

    def number(self, *values: int) -> str:
        """Add a constant list of integers and return its name."""
        return self.constant(np.array(values, np.int64))


def make(kind: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    """Return a new node with one output."""
    return helper.make_node(kind, list(inputs), [output], name=output, domain=domain, **attributes)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of a node's attribute."""
    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


def _length(shape: Shape | None) -> int | None:
    return None if shape is None else len(shape)


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes: dict[str, Shape] = {}
    for tensor in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        if tensor.type.tensor_type.HasField("shape"):
            dims = tensor.type.tensor_type.shape.dim
            shapes[tensor.name] = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    return shapes
