"""Lexical matching with weights: a small sparse encoder beside the trunk of a split network.

A masked language model says of every token which terms of its vocabulary it stands for (SPLADE: Formal et al. 2021,
arXiv 2109.10086). A query looks for its strongest terms, those that it only implies too; only those are ever looked up
in a document, so that a document costs its token states and no vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from transformers import AutoModelForMaskedLM
from transformers.models.bert.modeling_bert import BertForMaskedLM

from resift.engines.split.terms import SOUGHT
from resift.networks.layers import MASKED, PAD, bert_layer

SIZE = 4.0  # token states are divided by it: about as large as the trunk's, they share a scale with them where kept


class SparseEncoderModule(nn.Module):
    """A BERT masked language model, its head cut where a token's state meets the vocabulary."""

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
        """From a Hugging Face folder: a sparse encoder's, or any BERT with a masked-language head."""
        model: Any = AutoModelForMaskedLM.from_pretrained(str(folder), local_files_only=True, dtype=torch.float32)
        return cls(model).eval()

    def encode(self, ids: Tensor) -> Tensor:
        """Of texts (texts, tokens), padded with 0: (texts, tokens, width); SIZE x state x vocabulary are logits."""
        return self.read(ids, self.embeddings.word_embeddings(ids))

    def read(self, ids: Tensor, rows: Tensor) -> Tensor:
        """The same where the tokens' rows of the vocabulary have been looked up already."""
        states: Tensor = self.embeddings(inputs_embeds=rows, token_type_ids=torch.zeros_like(ids))
        mask = (ids != PAD).to(states.dtype)
        for layer in self.layers:
            states = bert_layer(layer, states, mask, self.heads)
        marks: Tensor = self.transform.LayerNorm(gelu(self.transform.dense(states))) / SIZE
        return marks

    def expand(self, states: Tensor, mask: Tensor) -> Tensor:
        """What queries look for, (texts, terms, width + 2): a term's vector, its bias and its share of the query.

        A term's weight is log(1 + max(0, logit)) at the token that stands for it most.
        """
        vocabulary = self.embeddings.word_embeddings.weight * SIZE
        logits = states @ vocabulary.T + (1.0 - mask[:, :, None]) * MASKED
        weights, found = (logits.amax(1) + self.bias).relu().log1p().topk(min(SOUGHT, len(vocabulary)))
        shares = weights / weights.sum(-1, keepdim=True).clamp_min(1e-6)
        return torch.cat([vocabulary[found], self.bias[found][..., None], shares[..., None]], -1)


def match(terms: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """How strongly documents stand for a query's terms: the mean of log(1 + logit) by the terms' shares, (rows,)."""
    sought, shares = terms[..., :-1], terms[..., -1]
    logits = sought @ pad(states, (0, 1), value=1.0).transpose(1, 2)  # the padding meets the bias
    best = (logits + (1.0 - mask[:, None, :]) * MASKED).amax(-1)
    return (best.relu().log1p() * shares).sum(-1)
