"""The reader of a split network for documents whose states are kept in 8 bits: the products are of integers.

States are multiplied as they are kept, one scale per token; nothing of them is restored. What a query is multiplied
with them by is rounded to 7 bits, one scale for each row, so that two products fit into 16 bits (see
`resift.export.int8_products`), and no score depends on the other documents of a batch. Rows whose products weigh most
in a score, and that are few, have a second row of what their rounding left.

What depends on the query alone is computed for the query, not for each document. A query token knows `CLUES` numbers
of a document before it attends to it, and they enter its attention linearly: so each clue is multiplied with the
document's states like a query token of its own, and the products are added with the clues as weights.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize
from torch.onnx import symbolic_helper
from torch.onnx.utils import register_custom_op_symbolic

from resift.engines.split.reader_numbers import MASKED, SMALLEST_NORM
from resift.networks.split import CLUES, EncodedBatch, SplitModule, match_tokens, without_control

LARGEST = 63  # of 7 bits
FINER = 2 * LARGEST  # what rounding leaves is half a step at most, and is rounded to 7 bits in turn
MIDDLE = 64  # what stands for 0 in 7 bits without a sign
ROW, ROW_MIDDLE = 127, 128  # the same of activations that meet weights of 7 bits
OPSET = 9  # from which on the operators here are written
LEAST = 1e-9  # the scale of a row of zeros


@torch.library.custom_op("resift::integer_product", mutates_args=())
def integer_product(left: Tensor, right: Tensor, scale: Tensor, zero: int) -> Tensor:
    """Return (left - zero) @ right * scale. Of 8 bits, those of `left` have no sign; each column has a scale."""
    return (left.float() - zero) @ right.float() * scale


@torch.library.custom_op("resift::round_to_bytes", mutates_args=())
def round_to_bytes(values: Tensor, zero: int) -> Tensor:
    """Return the nearest whole numbers, with `zero` for 0, in 8 bits without a sign."""
    return (values.round() + zero).clamp(0, 255).to(torch.uint8)


def _write_product(graph: Any, left: Any, right: Any, scale: Any, zero: Any) -> Any:
    inputs = [left, right, _constant(graph, 1.0), scale, _byte(graph, zero)]
    made = graph.op("com.microsoft::MatMulIntegerToFloat", *inputs)
    made.setType(left.type().with_sizes([None] * left.type().dim()).with_dtype(torch.float32))
    return made


def _write_rounding(graph: Any, values: Any, zero: Any) -> Any:
    return graph.op("QuantizeLinear", values, _constant(graph, 1.0), _byte(graph, zero))


def _constant(graph: Any, value: float) -> Any:
    return graph.op("Constant", value_t=torch.tensor(value))


def _byte(graph: Any, value: Any) -> Any:
    number = symbolic_helper._get_const(value, "i", "zero")  # type: ignore[no-untyped-call]  # untyped in torch
    return graph.op("Constant", value_t=torch.tensor(number, dtype=torch.uint8))


register_custom_op_symbolic("resift::integer_product", _write_product, OPSET)
register_custom_op_symbolic("resift::round_to_bytes", _write_rounding, OPSET)


def round_rows(values: Tensor, largest: int, zero: int) -> tuple[Tensor, Tensor]:
    """Return rows of 8 bits around `zero`, `largest` above or below it at most, and the scale of each row."""
    scale = (values.abs().amax(-1, keepdim=True) / largest).clamp_min(LEAST)
    return round_to_bytes(values / scale, zero), scale


def round_rows_twice(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows as `round_rows` does, then as many rows of what that left, and the scales of the first."""
    _, scale = round_rows(values, LARGEST, MIDDLE)
    steps = values / scale
    whole = steps.round()
    return round_to_bytes(torch.cat([whole, (steps - whole) * FINER], -2), MIDDLE), scale


def join(products: Tensor, scale: Tensor) -> Tensor:
    """Return the products of rows that were rounded by `round_rows_twice`."""
    rows = scale.shape[1]
    return (products[:, :rows] + products[:, rows:] / FINER) * scale


class IntegerLinear(nn.Module):
    """A linear layer whose product is of integers: 7 bits of weights, 8 of activations."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach().T
        scale = (weight.abs().amax(0) / LARGEST).clamp_min(LEAST)
        self.register_buffer("weight", (weight / scale).round().to(torch.int8).contiguous())
        self.register_buffer("scale", scale)
        self.register_buffer("bias", layer.bias.detach())

    def forward(self, values: Tensor) -> Tensor:
        """Return what the layer makes of (..., inputs)."""
        rounded, size = round_rows(values, ROW, ROW_MIDDLE)
        made: Tensor = integer_product(rounded, self.weight, self.scale, ROW_MIDDLE) * size + self.bias
        return made


class KeptReader(nn.Module):
    """Scores kept documents for a query as a split network does; see the module's docstring."""

    clue_rows: Tensor
    clue_scales: Tensor
    read_rows: Tensor
    value_rows: Tensor
    value_scales: Tensor

    def __init__(self, network: SplitModule) -> None:
        super().__init__()
        self.network = network
        reader = network.reader
        with torch.no_grad():
            clues = self._keyed(reader.clues @ reader.query.weight.T)
            rows, scales = round_rows(clues, LARGEST, MIDDLE)
            # One scale for all: only the length of a token's projection is needed, and cosines know no scale.
            self.read_step = float(reader.read.abs().max()) / LARGEST
            read = round_to_bytes(reader.read.T / self.read_step, MIDDLE)
            values, value_scales = round_rows(reader.value.transpose(1, 2), LARGEST, MIDDLE)
        self.register_buffer("value_rows", values.reshape(1, network.width, network.width))
        self.register_buffer("value_scales", value_scales.transpose(1, 2))
        self.register_buffer("clue_rows", rows)
        self.register_buffer("clue_scales", scales)
        self.register_buffer("read_rows", read[None])
        self.mixed, self.up, self.down = (IntegerLinear(layer) for layer in (reader.mixed, reader.up, reader.down))

    def forward(self, query: EncodedBatch, ids: Tensor, numbers: Tensor, scales: Tensor, vector: Tensor) -> Tensor:
        """Return a logit per row.

        Args:
            query: One query for all rows, or one for each.
            ids: (rows, tokens), padded with 0.
            numbers: (rows, tokens, width), the kept states, -127 to 127.
            scales: (rows, tokens), their scales; 0 behind a text.
            vector: (rows, width), the documents' vectors.
        """
        network, width = self.network, self.network.width
        document = EncodedBatch(ids, numbers, vector)
        columns = numbers.transpose(1, 2)
        hidden = (1.0 - document.mask[:, None, :]) * MASKED
        asked = query._replace(states=query.states[..., :width])
        if network.rarity is not None:
            asked = asked._replace(ids=without_control(asked.ids, network.rarity))
        read = self._read(asked, document, columns[:, :width], scales, hidden)
        logit = network.weigh_vector(query, document) + read + network.bias + network.length_prior(query, document)
        if query.terms is not None:
            matched = _match(query.terms, columns[:, width:], scales, hidden)
        elif network.rarity is not None:
            matched = match_tokens(query, document, network.rarity)
        else:
            return logit
        return logit + network.weigh_match(query, matched)

    def _read(
        self, query: EncodedBatch, document: EncodedBatch, columns: Tensor, scales: Tensor, hidden: Tensor
    ) -> Tensor:
        """Return the weighted votes of the query's tokens, (rows,): `Reader` with products of integers."""
        reader, heads, width = self.network.reader, self.network.heads, self.network.width
        (rows, tokens), words = document.ids.shape, query.ids.shape[1]
        keyed, key_scales = round_rows(self._keyed(reader.query(query.states)), LARGEST, MIDDLE)
        late, late_scales = round_rows_twice(normalize(query.states @ reader.asked, dim=-1) @ reader.read.T)
        constant = torch.cat([self.clue_rows, self.read_rows, self.value_rows], 1).expand(query.ids.shape[0], -1, -1)
        products = integer_product(torch.cat([keyed, late, constant], 1), columns, scales[:, None, :], MIDDLE)
        turned, clued = heads * words, (heads + 2) * words
        told = clued + heads * CLUES
        last = told + self.read_rows.shape[1]
        lengths = (products[:, told:last].norm(dim=1, keepdim=True) * self.read_step).clamp_min(SMALLEST_NORM)
        best = (join(products[:, turned:clued], late_scales) / lengths + hidden).amax(-1)
        features = reader.features(query, document, best)
        clues = (products[:, clued:told] * self.clue_scales).reshape(rows, heads, CLUES, tokens)
        scores = (products[:, :turned] * key_scales).reshape(rows, heads, words, tokens) + hidden[:, None]
        scores = scores + features[:, None] @ clues
        values = products[:, last:].reshape(rows, heads, width // heads, tokens)
        read = scores.softmax(-1) @ values.transpose(2, 3) * self.value_scales
        mixed = self.mixed(read.transpose(1, 2).reshape(rows, words, width) + reader.value_bias)
        states = reader.first(query.states + features @ reader.clues + mixed)
        attended = reader.second(states + self.down(gelu(self.up(states))))
        return reader.weigh(query, best, attended, self.network.emphasis(query))

    def _keyed(self, queries: Tensor) -> Tensor:
        """Return what is multiplied with states for each head and row of queries, (..., heads x rows, width)."""
        reader, heads, width = self.network.reader, self.network.heads, self.network.width
        parts = queries.reshape(-1, queries.shape[-2], heads, width // heads).transpose(1, 2)
        return (parts @ reader.key / math.sqrt(width // heads)).reshape(parts.shape[0], -1, width)


def _match(terms: Tensor, columns: Tensor, scales: Tensor, hidden: Tensor) -> Tensor:
    """Return how strongly documents stand for a query's terms, (rows,): see `resift.networks.splade.match`."""
    left, sizes = round_rows_twice(terms[..., :-2])
    products = integer_product(left, columns, scales[:, None, :], MIDDLE)
    best = (join(products, sizes) + terms[..., -2:-1] + hidden).amax(-1)
    matched: Tensor = (best.relu().log1p() * terms[..., -1]).sum(-1)
    return matched
