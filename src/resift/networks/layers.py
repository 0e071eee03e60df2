"""What the layers of every network of ours share, written out: easy to export, and the same under any transformers."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn.functional import gelu

MASKED = -1e4  # added to an attention score to switch a position off; small enough for float16
PAD = 0  # BERT's [PAD]: ids alone tell what is text


def bert_layer(layer: Any, states: Tensor, mask: Tensor, heads: int) -> Tensor:
    """One post-norm BERT layer over (rows, tokens, width); `mask` (rows, tokens) says what is text."""
    own = layer.attention.self
    mixed = attention(own.query(states), own.key(states), own.value(states), mask, heads)
    states = layer.attention.output.LayerNorm(layer.attention.output.dense(mixed) + states)
    inner = gelu(layer.intermediate.dense(states))
    after: Tensor = layer.output.LayerNorm(layer.output.dense(inner) + states)
    return after


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention; `mask` (rows, keys) says which keys are text."""
    rows, _, width = query.shape

    def split(states: Tensor) -> Tensor:
        return states.view(rows, -1, heads, width // heads).transpose(1, 2)

    scores = split(query) @ split(key).transpose(2, 3) / math.sqrt(width // heads)
    shares = (scores + (1.0 - mask[:, None, None, :]) * MASKED).softmax(-1)
    return (shares @ split(value)).transpose(1, 2).reshape(rows, -1, width)
