"""One network for both stages: query and document are encoded apart, then the query reads the document.

All layers of the trunk see one text at a time, exactly as the bi-encoder it came from: their pooled end is the first
stage's vector, and the token states after `separate` of them are what the query reads. Nothing of a document depends
on a query before that, so it can be computed once and kept (PreTTR: MacAvaney et al. 2020, arXiv 2004.14255).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize, pad, softplus
from transformers import AutoConfig, AutoModel
from transformers.models.bert.modeling_bert import BertModel

from resift.networks.layers import MASKED, PAD, bert_layer
from resift.networks.terms import SparseEncoderModule, match

CLUES = 4  # what a query token knows before it reads: see `Reader.clues_of`
LEXICAL = 4.0  # logit for a document that says all a query looks for, at the start
LONG = 6.0  # logarithm of the tokens of a long document


class Side(NamedTuple):
    """One text of each row, as the reader sees it."""

    ids: Tensor
    """(rows, tokens), padded with 0."""
    states: Tensor
    """(rows, tokens, width), after the separate layers; behind them, in the last axis, the sparse encoder's states."""
    vector: Tensor
    """(rows, width), of unit length."""
    terms: Tensor | None = None
    """What a query looks for: see `SparseEncoderModule.expand`."""

    @property
    def mask(self) -> Tensor:
        """1 where there is text."""
        return (self.ids != PAD).float()


class Reader(nn.Module):
    """Every token of the query reads the document and votes; the votes' weighted mean is a logit.

    A vote is the token's best cosine in the document (late interaction: ColBERT, Khattab and Zaharia 2020), plus what
    one layer of attention over the document's tokens makes of it. Votes are weighted by the query alone.

    Attention multiplies the query with the weights of keys and values, not every token of the document: the same
    numbers, and less work while a query has fewer tokens than width / heads.
    """

    def __init__(self, width: int, heads: int, dimensions: int = 128, inner: int = 768, scale: float = 11.0) -> None:
        super().__init__()
        self.heads = heads
        # Both projections start as the same one, which keeps angles about as they are. Parameters, not Linear: so that
        # they keep their names in an exported graph.
        start = torch.linalg.qr(torch.randn(width, dimensions))[0]
        self.asked = nn.Parameter(start.clone())
        self.read = nn.Parameter(start.clone())
        self.weight = nn.Parameter(torch.zeros(width, 1))
        self.scale = nn.Parameter(torch.tensor(scale))
        self.clues = nn.Parameter(torch.zeros(CLUES, width))
        self.query, self.mixed = nn.Linear(width, width), nn.Linear(width, width)
        size = width // heads
        self.key = nn.Parameter(torch.randn(heads, size, width) / math.sqrt(width))  # a key's bias moves no share
        self.value = nn.Parameter(torch.randn(heads, width, size) / math.sqrt(width))
        self.value_bias = nn.Parameter(torch.zeros(width))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        # Starts as late interaction alone: the attention's voice is silent until it has learned something.
        self.vote = nn.Parameter(torch.zeros(width, 1))
        nn.init.zeros_(self.down.weight)

    def take(self, layer: Any) -> None:
        """Starts attention from a BERT layer's: one that has learned to read these states."""
        for mine, theirs in (
            (self.query, layer.attention.self.query),
            (self.mixed, layer.attention.output.dense),
            (self.first, layer.attention.output.LayerNorm),
            (self.second, layer.output.LayerNorm),
        ):
            mine.load_state_dict(theirs.state_dict())
        own = layer.attention.self
        self.key.data.copy_(own.key.weight.data.view(self.key.shape))
        self.value.data.copy_(own.value.weight.data.view(self.key.shape).transpose(1, 2))
        self.value_bias.data.copy_(own.value.bias.data)

    def forward(self, query: Side, document: Side) -> Tensor:
        """A logit per row."""
        best = self._best(query, document)
        heard = self._attend(query.states + self.clues_of(query, document, best) @ self.clues, document)
        votes = self.scale * best + (heard @ self.vote).squeeze(-1)
        weights = softplus(query.states @ self.weight).squeeze(-1) * query.mask
        return (votes * weights).sum(-1) / weights.sum(-1)

    def clues_of(self, query: Side, document: Side, best: Tensor) -> Tensor:
        """(rows, query tokens, CLUES): the best cosine; how often the very token is there (n / (n + 1)); whether it is
        there followed by the same next token; how long the document is.
        """
        same = (query.ids[:, :, None] == document.ids[:, None, :]).float() * document.mask[:, None, :]
        count = same.sum(-1)
        pairs = pad((same[:, :-1, :-1] * same[:, 1:, 1:]).amax(-1), (0, 1))
        length = (document.mask.sum(-1).log() / LONG)[:, None].expand_as(best)
        return torch.stack([best, count / (count + 1.0), pairs, length], -1)

    def _best(self, query: Side, document: Side) -> Tensor:
        asked, read = normalize(query.states @ self.asked, dim=-1), normalize(document.states @ self.read, dim=-1)
        return (asked @ read.transpose(1, 2) + (1.0 - document.mask[:, None, :]) * MASKED).amax(-1)

    def _attend(self, states: Tensor, document: Side) -> Tensor:
        rows, tokens, width = states.shape
        size = width // self.heads
        asked = self.query(states).view(rows, tokens, self.heads, size).transpose(1, 2) @ self.key
        likes = asked.reshape(rows, -1, width) @ document.states.transpose(1, 2) / math.sqrt(size)
        shares = (likes + (1.0 - document.mask[:, None, :]) * MASKED).softmax(-1)
        seen = (shares @ document.states).view(rows, self.heads, tokens, width) @ self.value
        mixed = self.mixed(seen.transpose(1, 2).reshape(rows, tokens, width) + self.value_bias)
        states = self.first(states + mixed)
        heard: Tensor = self.second(states + self.down(gelu(self.up(states))))
        return heard


class SplitModule(nn.Module):
    """Plain-torch forward pass over the layers of a BERT trunk, with a reader on top.

    `separate` of the layers give the token states that are read, all of them the vector.
    logit = slope(query) x cosine of the vectors + the reader's votes + lexical(query) x matching terms + bias,
    where the third needs a sparse encoder beside the trunk (`terms`).
    """

    def __init__(
        self,
        trunk: BertModel,
        separate: int,
        slope: float = 1.0,
        bias: float = 0.0,
        terms: SparseEncoderModule | None = None,
    ) -> None:
        super().__init__()
        self.embeddings = trunk.embeddings
        self.separate = nn.ModuleList(list(trunk.encoder.layer)[:separate])
        self.upper = nn.ModuleList(list(trunk.encoder.layer)[separate:])
        self.heads: int = trunk.config.num_attention_heads
        self.width: int = trunk.config.hidden_size
        self.slope = nn.Parameter(torch.tensor(slope))
        self.gate = nn.Parameter(torch.zeros(self.width, 1))
        self.bias = nn.Parameter(torch.tensor(bias))
        self.terms = terms
        if terms is not None:
            self.lexical = nn.Parameter(torch.tensor(LEXICAL))
            self.lexical_gate = nn.Parameter(torch.zeros(self.width, 1))
        self.reader = Reader(self.width, self.heads)
        if len(self.upper):
            self.reader.take(self.upper[0])

    @classmethod
    def load(
        cls, trunk: Path | str, separate: int, slope: float = 1.0, *, terms: SparseEncoderModule | None = None
    ) -> SplitModule:
        """The untrained network of a Hugging Face bi-encoder's folder: its cosine, and late interaction beside it."""
        config = AutoConfig.from_pretrained(str(trunk), local_files_only=True)
        model = AutoModel.from_pretrained(str(trunk), config=config, local_files_only=True, dtype=torch.float32)
        return cls(model, separate, slope, terms=terms).eval()

    @property
    def positions(self) -> int:
        """Tokens of a text that every part can tell apart by their places."""
        parts = [self.embeddings] if self.terms is None else [self.embeddings, self.terms.embeddings]
        return min(one.position_embeddings.num_embeddings for one in parts)

    def encode(self, ids: Tensor) -> Side:
        """Both parts of texts, (texts, tokens) of [CLS] text [SEP], padded with 0."""
        states, vector = self.read(ids)
        if self.terms is not None:
            states = torch.cat([states, self.terms.encode(ids)], -1)
        return Side(ids, states, vector)

    def ask(self, ids: Tensor) -> Side:
        """The same of queries, with what they look for."""
        return self.asking(self.encode(ids))

    def asking(self, side: Side) -> Side:
        """Encoded queries, with what they look for."""
        if self.terms is None:
            return side
        return side._replace(terms=self.terms.expand(side.states[..., self.width :], side.mask))

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What the trunk alone says of texts: states and vector."""
        states: Tensor = self.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
        mask = (ids != PAD).to(states.dtype)
        for layer in self.separate:
            states = bert_layer(layer, states, mask, self.heads)
        last = states
        for layer in self.upper:
            last = bert_layer(layer, last, mask, self.heads)
        weights = mask.unsqueeze(-1)
        return states, normalize((last * weights).sum(1) / weights.sum(1), dim=-1)

    def join(self, query: Side, document: Side) -> Tensor:
        """One logit per row."""
        logit: Tensor = self._share(self.slope, self.gate, query) * (query.vector * document.vector).sum(-1)
        asked, read = (side._replace(states=side.states[..., : self.width]) for side in (query, document))
        logit = logit + self.reader(asked, read) + self.bias
        if query.terms is None:
            return logit
        matched = match(query.terms, document.states[..., self.width :], document.mask)
        return logit + self._share(self.lexical, self.lexical_gate, query) * matched

    def rescale(self, slope: float, shift: float) -> None:
        """Makes every logit slope x logit + shift."""
        parts = [self.slope, self.reader.scale, self.reader.vote, self.bias]
        for part in parts if self.terms is None else (*parts, self.lexical):
            part.data.mul_(slope)
        self.bias.data.add_(shift)

    @staticmethod
    def _share(usual: Tensor, gate: Tensor, query: Side) -> Tensor:
        """How much a part counts for this kind of query."""
        return usual * (query.vector @ gate).squeeze(-1).exp()
