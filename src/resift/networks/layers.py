"""The layers that all networks here share, written out: easy to export, and the same under any transformers version."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn.functional import gelu

from resift.engines.split.reader_numbers import MASKED

PAD = 0  # BERT's [PAD]: so the ids say which positions are text


def bert_layer(layer: Any, states: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Apply one post-norm BERT layer to (rows, tokens, width); `mask` (rows, tokens) is 1 where there is text."""
    projections = layer.attention.self
    mixed = attention(projections.query(states), projections.key(states), projections.value(states), mask, heads)
    states = layer.attention.output.LayerNorm(layer.attention.output.dense(mixed) + states)
    inner = gelu(layer.intermediate.dense(states))
    output: Tensor = layer.output.LayerNorm(layer.output.dense(inner) + states)
    return output


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Apply scaled dot-product attention; `mask` (rows, keys) is 1 for keys that are text."""
    rows, _, width = query.shape

    def split(states: Tensor) -> Tensor:
        return states.view(rows, -1, heads, width // heads).transpose(1, 2)

    scores = split(query) @ split(key).transpose(2, 3) / math.sqrt(width // heads)
    shares = (scores + (1.0 - mask[:, None, None, :]) * MASKED).softmax(-1)
    return (shares @ split(value)).transpose(1, 2).reshape(rows, -1, width)
