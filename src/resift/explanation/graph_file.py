"""What an ONNX file says of its graph, read without the `onnx` library, which the core doesn't need.

An ONNX file is a protobuf message: fields with a number each, of which a handful are read here. Two such messages one
after the other are one message with the fields of both, so that a graph gets a further output by adding bytes to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions

from resift._util.model_files import report_unreadable
from resift.errors import ModelFileError

GRAPH = 7  # of a model
NODE, INITIALIZER, OUTPUT = 1, 5, 12  # of a graph
NODE_INPUT, NODE_OUTPUT, NODE_KIND = 1, 2, 4
DIMENSIONS, DATA_TYPE, TENSOR_NAME, RAW_DATA = 1, 2, 8, 9
VALUE_NAME = 1
BYTES = 2  # the wire type of texts, messages and packed numbers
FIXED_SIZES = {1: 8, 5: 4}  # wire type → bytes
TYPES: dict[int, type[np.generic]] = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 10: np.float16}


class Node(NamedTuple):
    """An operator of a graph."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GraphFile:
    """The operators and the constants of an ONNX file."""

    path: Path
    data: bytes
    nodes: tuple[Node, ...]
    tensors: dict[str, memoryview]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raise ModelFileError for one that is no ONNX graph."""
        data = path.read_bytes()
        nodes: list[Node] = []
        tensors: dict[str, memoryview] = {}
        with report_unreadable(path, "ONNX graph"):
            for _, graph in _messages(memoryview(data), GRAPH):
                nodes += [_node(node) for _, node in _messages(graph, NODE)]
                for _, tensor in _messages(graph, INITIALIZER):
                    tensors[_text(tensor, TENSOR_NAME)] = tensor
        return cls(path, data, tuple(nodes), tensors)

    def constant(self, name: str) -> NDArray[np.float32]:
        """Return a constant, restored where it is stored in 8 bits. Raise ModelFileError if there is none."""
        if f"{name}_int8" in self.tensors:
            restored: NDArray[np.float32] = self._stored(f"{name}_int8").astype(np.float32)
            return restored * self._stored(f"{name}_scale").astype(np.float32)
        return np.asarray(self._stored(name), np.float32)

    def makers(self) -> dict[str, Node]:
        """Return the node that makes each output."""
        return {output: node for node in self.nodes for output in node.outputs}

    def with_outputs(self, *names: str) -> bytes:
        """Return the file with more outputs, behind the others."""
        outputs = b"".join(_field(OUTPUT, _field(VALUE_NAME, name.encode())) for name in names)
        return self.data + _field(GRAPH, outputs)

    def _stored(self, name: str) -> NDArray[Any]:
        if name not in self.tensors:
            raise ModelFileError(f"{self.path} has no weight {name}: it can't be explained by its parts")
        shape: list[int] = []
        kind, raw = 0, None
        for field, value in _fields(self.tensors[name]):
            if field == DIMENSIONS:
                shape += [value] if isinstance(value, int) else list(_numbers(value))
            elif field == DATA_TYPE and isinstance(value, int):
                kind = value
            elif field == RAW_DATA and isinstance(value, memoryview):
                raw = value
        if raw is None or kind not in TYPES:
            raise ModelFileError(f"{self.path}: the weight {name} is not stored in the file: export the model again")
        return np.frombuffer(raw, np.dtype(TYPES[kind]).newbyteorder("<")).reshape(shape)


def open_bytes(data: bytes, folder: Path, threads: int | None) -> InferenceSession:
    """Open the bytes of a graph, whose weights may lie in other files of a folder."""
    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    options.log_severity_level = 3
    return InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _node(message: memoryview) -> Node:
    fields = list(_fields(message))
    inputs = tuple(str(value, "utf-8") for field, value in fields if field == NODE_INPUT and not isinstance(value, int))
    outputs = tuple(
        str(value, "utf-8") for field, value in fields if field == NODE_OUTPUT and not isinstance(value, int)
    )
    return Node(_text(message, NODE_KIND), inputs, outputs)


def _text(message: memoryview, wanted: int) -> str:
    return next((str(value, "utf-8") for _, value in _messages(message, wanted)), "")


def _messages(message: memoryview, wanted: int) -> Iterator[tuple[int, memoryview]]:
    for field, value in _fields(message):
        if field == wanted and isinstance(value, memoryview):
            yield field, value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Return the number and the value of each field. Raise ValueError where a field ends behind its message."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _number(message, place)
            yield field, value
            continue
        if wire == BYTES:
            size, place = _number(message, place)
        elif wire in FIXED_SIZES:
            size = FIXED_SIZES[wire]
        else:
            raise ValueError(f"a field of wire type {wire}")
        if place + size > len(message):
            raise ValueError(f"a field of {size} bytes where {len(message) - place} are left")
        yield field, message[place : place + size]
        place += size


def _numbers(packed: memoryview) -> Iterator[int]:
    place = 0
    while place < len(packed):
        value, place = _number(packed, place)
        yield value


def _number(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
