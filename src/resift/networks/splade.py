"""Lexical matching with weights: a small sparse encoder beside the trunk of a split network.

A masked language model gives every token weights for the terms of its vocabulary (SPLADE: Formal et al. 2021,
arXiv 2109.10086). A query looks for its strongest terms, also for some that it only implies; a document is compared
with these alone, so that it needs its token states and never the whole vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from transformers import AutoModelForMaskedLM
from transformers.models.bert.modeling_bert import BertForMaskedLM

from resift.engines.split.reader_numbers import MASKED
from resift.engines.split.sparse_encoder import TERMS_PER_QUERY
from resift.networks.layers import PAD, bert_layer

STATE_SCALE = 4.0  # token states are divided by it: so they are about as large as the trunk's, and are stored with them


class SparseEncoderModule(nn.Module):
    """A BERT masked language model; its head ends at the token state that is compared with the vocabulary."""

    def __init__(self, model: BertForMaskedLM) -> None:
        super().__init__()
        self.embeddings = model.bert.embeddings
        self.layers = nn.ModuleList(list(model.bert.encoder.layer))
        self.transform = model.cls.predictions.transform
        self.bias = nn.Parameter(model.cls.predictions.bias.detach().clone())
        self.heads: int = model.config.num_attention_heads
        self.width: int = model.config.hidden_size

    @classmethod
    def load(cls, folder: Path | str) -> SparseEncoderModule:
        """Load a Hugging Face folder: a sparse encoder's, or any BERT with a masked-language head."""
        model: Any = AutoModelForMaskedLM.from_pretrained(str(folder), local_files_only=True, dtype=torch.float32)
        return cls(model).eval()

    def encode(self, ids: Tensor) -> Tensor:
        """Return the token states of texts, (texts, tokens, width), from ids (texts, tokens) padded with 0.

        STATE_SCALE x state x vocabulary + bias are logits of the terms.
        """
        return self.encode_rows(ids, self.embeddings.word_embeddings(ids))

    def encode_rows(self, ids: Tensor, rows: Tensor) -> Tensor:
        """Return the token states where the tokens' rows of the vocabulary have been looked up already."""
        states: Tensor = self.embeddings(inputs_embeds=rows, token_type_ids=torch.zeros_like(ids))
        mask = (ids != PAD).to(states.dtype)
        for layer in self.layers:
            states = bert_layer(layer, states, mask, self.heads)
        scaled: Tensor = self.transform.LayerNorm(gelu(self.transform.dense(states))) / STATE_SCALE
        return scaled

    def expand(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return the terms that queries look for, (texts, terms, width + 2): vector, bias and share of the query.

        `states` are (texts, tokens, width), `mask` (texts, tokens) is 1 where there is text. A term's weight is
        log(1 + max(0, logit)) at the token that stands for it most.
        """
        vocabulary = self.embeddings.word_embeddings.weight * STATE_SCALE
        logits = states @ vocabulary.T + (1.0 - mask[:, :, None]) * MASKED
        weights, terms = (logits.amax(1) + self.bias).relu().log1p().topk(min(TERMS_PER_QUERY, len(vocabulary)))
        shares = weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)
        return torch.cat([vocabulary[terms], self.bias[terms][..., None], shares[..., None]], -1)


def match(terms: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """Return how strongly documents stand for a query's terms: the mean of log(1 + logit) by shares, (rows,).

    `terms` are as `SparseEncoderModule.expand` gives them, `states` and `mask` are the documents'.
    """
    vectors, shares = terms[..., :-1], terms[..., -1]
    logits = vectors @ pad(states, (0, 1), value=1.0).transpose(1, 2)  # the column of ones is multiplied with the bias
    best = (logits + (1.0 - mask[:, None, :]) * MASKED).amax(-1)
    return (best.relu().log1p() * shares).sum(-1)
