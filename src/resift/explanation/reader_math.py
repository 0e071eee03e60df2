"""The reader of a split network in NumPy, with its gradient: `resift.networks.split.Reader` without torch.

Names are those of the parameters there, which exported graphs keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from resift.engines.split.reader_numbers import SMALLEST_NORM
from resift.errors import ModelFileError
from resift.explanation.graph_file import GraphFile, Node

PREFIX = "network."
NORM_EPSILON = 1e-5  # of torch's LayerNorm
Floats = NDArray[np.float64]


class Weights(NamedTuple):
    """The parameters of a reader, and those that weigh the other parts of a score; matrices are (inputs, outputs)."""

    plain: dict[str, Floats]
    linear: dict[str, Floats]

    @classmethod
    def read(cls, graph: GraphFile) -> Self:
        """Take the parameters out of a reader's graph. Raise ModelFileError where one is missing.

        torch's exporter names every parameter but the matrices of linear layers; such a matrix is found through the
        named bias that is added to its product, as in `resift.export.restore`.
        """
        names = {name.removesuffix("_int8") for name in graph.tensors if name.startswith(PREFIX)}
        plain = {
            name.removeprefix(PREFIX): graph.constant(name).astype(np.float64)
            for name in names
            if not name.endswith("_scale")
        }
        makers = graph.makers()
        linear = {}
        for node in graph.nodes:
            if node.kind not in ("Add", "SkipLayerNormalization"):
                continue
            added = node.inputs if node.kind == "Add" else (node.inputs[0], *node.inputs[4:])
            bias = next((name for name in added if name.startswith(PREFIX) and name.endswith(".bias")), None)
            matrix = next(filter(None, map(partial(_matrix, makers), added)), None)
            if bias is not None and matrix is not None:
                layer = bias.removeprefix(PREFIX).removesuffix(".bias")
                linear[layer] = graph.constant(matrix).astype(np.float64)
        wanted = {f"reader.{name}" for name in ("query", "mixed", "up", "down")}
        if missing := wanted - linear.keys():
            raise ModelFileError(f"{graph.path} has no weights of {', '.join(sorted(missing))}: export the model again")
        return cls(plain, linear)

    def of_reader(self, name: str) -> Floats:
        """Return a parameter of the reader by its name. Raise ModelFileError if there is none."""
        return self.value(f"reader.{name}")

    def value(self, name: str) -> Floats:
        """Return a parameter by its name. Raise ModelFileError if there is none."""
        if name not in self.plain:
            raise ModelFileError(f"the reader's graph has no weight {name}: export the model again")
        return self.plain[name]

    def apply(self, layer: str, values: Floats) -> Floats:
        """Return what a linear layer of the reader makes of (any, inputs)."""
        applied: Floats = values @ self.linear[f"reader.{layer}"] + self.of_reader(f"{layer}.bias")
        return applied


def _matrix(makers: dict[str, Node], name: str) -> str | None:
    """Return the matrix that makes the product of this name; None if it is no product."""
    node = makers.get(name)
    return node.inputs[1] if node is not None and node.kind == "MatMul" else None


@dataclass(frozen=True, slots=True)
class Vote:
    """The reader's function from what a query token has read to its vote: two norms with a layer between, and a sum."""

    weights: Weights

    def __call__(self, read: Floats) -> Floats:
        """Return the votes of (tokens, width), (tokens,)."""
        first, _ = self._norm("first", read)
        second, _ = self._norm("second", first + self.weights.apply("down", gelu(self.weights.apply("up", first))))
        return _column(second @ self.weights.of_reader("vote"))

    def gradient(self, read: Floats) -> Floats:
        """Return how each vote changes with each number that was read, (tokens, width)."""
        first, first_scale = self._norm("first", read)
        inner = self.weights.apply("up", first)
        second, second_scale = self._norm("second", first + self.weights.apply("down", gelu(inner)))
        upstream = np.broadcast_to(self.weights.of_reader("vote")[:, 0], second.shape)
        summed = self._norm_gradient("second", second, second_scale, upstream)
        through_layer = (summed @ self.weights.linear["reader.down"].T) * gelu_gradient(inner)
        both = summed + through_layer @ self.weights.linear["reader.up"].T
        return self._norm_gradient("first", first, first_scale, both)

    def _norm(self, name: str, values: Floats) -> tuple[Floats, Floats]:
        """Return the normalised rows, and what each was divided by, (tokens, 1)."""
        centred = values - values.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + NORM_EPSILON)
        gain, shift = self.weights.of_reader(f"{name}.weight"), self.weights.of_reader(f"{name}.bias")
        return centred / scale * gain + shift, scale

    def _norm_gradient(self, name: str, normalised: Floats, scale: Floats, upstream: Floats) -> Floats:
        gain, shift = self.weights.of_reader(f"{name}.weight"), self.weights.of_reader(f"{name}.bias")
        unit = (normalised - shift) / np.where(gain == 0, 1, gain)
        inner = upstream * gain
        along = (inner * unit).mean(-1, keepdims=True)
        gradient: Floats = (inner - inner.mean(-1, keepdims=True) - unit * along) / scale
        return gradient


def gelu(values: Floats) -> Floats:
    """Return x times the share of a normal distribution below x."""
    activated: Floats = 0.5 * values * (1 + erf(values / np.sqrt(2)))
    return activated


def gelu_gradient(values: Floats) -> Floats:
    """Return the slope of `gelu`."""
    density = np.exp(-0.5 * values**2) / np.sqrt(2 * np.pi)
    slope: Floats = 0.5 * (1 + erf(values / np.sqrt(2))) + values * density
    return slope


def erf(values: Floats) -> Floats:
    """Return the error function within 2e-7: formula 7.1.26 of Abramowitz and Stegun, since NumPy has none.

    >>> round(float(erf(np.array(0.5))), 5)
    0.5205
    """
    size = np.abs(values)
    place = 1 / (1 + 0.3275911 * size)
    series: Floats = np.zeros_like(size)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + factor) * place
    result: Floats = np.sign(values) * (1 - series * np.exp(-(size**2)))
    return result


def unit_rows(values: Floats) -> Floats:
    """Return rows of length 1."""
    rows: Floats = values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), SMALLEST_NORM)
    return rows


def softplus(values: Floats) -> Floats:
    """Return log(1 + exp(x))."""
    result: Floats = np.logaddexp(0, values)
    return result


def softmax(values: Floats) -> Floats:
    """Return shares along the last axis."""
    powers = np.exp(values - values.max(-1, keepdims=True))
    shares: Floats = powers / powers.sum(-1, keepdims=True)
    return shares


def _column(values: Floats) -> Floats:
    return values.reshape(values.shape[:-1])
