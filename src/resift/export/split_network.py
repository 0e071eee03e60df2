"""The split network: one transformer that is a bi-encoder below and a cross-encoder above.

The lower layers encode query and document apart; the upper ones let every token attend to every other.
Score = slope x cosine(mean-pooled query part, mean-pooled document part) + match + bias, a logit. What the lower
layers say of a document depends on the document alone (precomputed term representations: MacAvaney et
al. 2020, https://arxiv.org/abs/2004.14255), and the query's lower states are computed once for a whole list.

`match` is late interaction between those lower states (MaxSim: Khattab and Zaharia 2020,
https://arxiv.org/abs/2004.12832): each query token looks for its like in the document. The upper layers judge what
both texts are about; this term sees whether the very words are there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, gelu, normalize, softplus
from transformers import AutoConfig, AutoModel
from transformers.models.bert.modeling_bert import BertModel

MASKED = -1e4  # added to an attention score to switch a position off; small enough for float16


class Match(nn.Module):
    """Late interaction: the mean, weighted token by token, of each query token's best cosine in the document."""

    def __init__(self, width: int, dimensions: int = 128, scale: float = 11.0) -> None:
        super().__init__()
        # Both projections start as the same one, which keeps angles about as they are.
        start = torch.linalg.qr(torch.randn(width, dimensions))[0]
        # Parameters, not Linear: so that they keep their names in an exported graph.
        self.query = nn.Parameter(start.clone())
        self.document = nn.Parameter(start.clone())
        self.weight = nn.Parameter(torch.zeros(width, 1))
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, query: Tensor, query_mask: Tensor, document: Tensor, document_mask: Tensor) -> Tensor:
        """A logit per row, from lower states, (rows, tokens, width)."""
        asked, read = normalize(query @ self.query, dim=-1), normalize(document @ self.document, dim=-1)
        similar = asked @ read.transpose(1, 2) + (1.0 - document_mask[:, None, :].float()) * MASKED
        weights = softplus(query @ self.weight).squeeze(-1) * query_mask.float()
        return self.scale * (similar.amax(-1) * weights).sum(-1) / weights.sum(-1)


class SplitNetwork(nn.Module):
    """Plain-torch forward pass over the layers of a BERT trunk.

    `trunk` gives embeddings and layers; the first `separate` layers see one text each, the rest see both. `match` is
    the late-interaction term; networks without one (version 0) have None.
    """

    def __init__(
        self, trunk: BertModel, separate: int, slope: float = 1.0, bias: float = 0.0, match: Match | None = None
    ) -> None:
        super().__init__()
        self.embeddings = trunk.embeddings
        self.separate = nn.ModuleList(list(trunk.encoder.layer)[:separate])
        self.joint = nn.ModuleList(list(trunk.encoder.layer)[separate:])
        self.heads: int = trunk.config.num_attention_heads
        self.width: int = trunk.config.hidden_size
        self.slope = nn.Parameter(torch.tensor(slope))
        self.bias = nn.Parameter(torch.tensor(bias))
        self.match = match

    @classmethod
    def load(cls, trunk: Path | str, joint: Path | None, separate: int, slope: float, bias: float) -> SplitNetwork:
        """The network of a backbone folder and, where given, trained joint layers (a safetensors file).

        The file names its tensors as a list of Hugging Face `BertLayer` does: `0.attention.self.query.weight`...
        """
        config = AutoConfig.from_pretrained(str(trunk), local_files_only=True)
        model = AutoModel.from_pretrained(str(trunk), config=config, local_files_only=True, dtype=torch.float32)
        network = cls(model, separate, slope, bias)
        if joint is not None:
            network.joint.load_state_dict({name: tensor.float() for name, tensor in load_file(joint).items()})
        return network.eval()

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token states after the separate layers, (texts, tokens, width); ids hold [CLS] text [SEP], token types 0."""
        states: Tensor = self.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
        bias = _attention_bias(mask)
        for layer in self.separate:
            states = self._layer(layer, states, bias)
        return states

    def join(self, query: Tensor, query_mask: Tensor, document: Tensor, document_mask: Tensor) -> Tensor:
        """One logit per row, from the separate states of a query and a document per row."""
        logit = self.slope * self.cosine(query, query_mask, document, document_mask) + self.bias
        if self.match is not None:
            logit = logit + self.match(query, query_mask, document, document_mask)
        return logit

    def cosine(self, query: Tensor, query_mask: Tensor, document: Tensor, document_mask: Tensor) -> Tensor:
        """How alike query part and document part are once they have read each other, (rows)."""
        states = torch.cat([query, document], 1)
        bias = _attention_bias(torch.cat([query_mask, document_mask], 1))
        for layer in self.joint:
            states = self._layer(layer, states, bias)
        cut = query.shape[1]
        return cosine_similarity(_mean(states[:, :cut], query_mask), _mean(states[:, cut:], document_mask), dim=-1)

    def _layer(self, layer: Any, states: Tensor, bias: Tensor) -> Tensor:
        """One post-norm BERT layer, written out: the same under every version of transformers, and easy to export."""
        rows, tokens, width = states.shape

        def heads(linear: Any) -> Tensor:
            split: Tensor = linear(states).view(rows, tokens, self.heads, width // self.heads)
            return split.transpose(1, 2)

        attention = layer.attention.self
        scores = heads(attention.query) @ heads(attention.key).transpose(2, 3) / math.sqrt(width // self.heads)
        mixed = (scores + bias.to(scores.dtype)).softmax(-1) @ heads(attention.value)
        mixed = mixed.transpose(1, 2).reshape(rows, tokens, width)
        states = layer.attention.output.LayerNorm(layer.attention.output.dense(mixed) + states)
        inner = gelu(layer.intermediate.dense(states))
        after: Tensor = layer.output.LayerNorm(layer.output.dense(inner) + states)
        return after


def _attention_bias(mask: Tensor) -> Tensor:
    return (1.0 - mask[:, None, None, :].float()) * MASKED


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).float()
    return (states * weights).sum(1) / weights.sum(1)
