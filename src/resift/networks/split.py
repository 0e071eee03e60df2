"""One network for both stages: query and document are encoded apart, then the query reads the document.

All layers of the trunk read one text at a time, exactly as in the bi-encoder they come from. The mean of the last
layer's states is the first stage's vector; the token states after `separate` layers are what the query reads. Up to
there nothing of a document depends on a query, so it can be computed once and kept (PreTTR: MacAvaney et al. 2020,
arXiv 2004.14255).
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

from resift.engines.split.reader_numbers import (
    BRIEF,
    FADING_TOKENS,
    LEAST_RARITY,
    LOG_LONG,
    MASKED,
    NOT_BRIEF,
    SHORT_TOKENS,
    SPECIAL_TOKENS,
    USUAL_BEST,
)
from resift.networks.layers import PAD, bert_layer
from resift.networks.splade import SparseEncoderModule, match

CLUES = 4  # features of a query token and a document: see `Reader.features`
LEXICAL = 4.0  # at the start: logit for a document that has all terms of a query


class EncodedBatch(NamedTuple):
    """Encoded queries or documents, one a row."""

    ids: Tensor
    """(rows, tokens), padded with 0."""
    states: Tensor
    """(rows, tokens, width), after the separate layers; behind them, in the last axis, the sparse encoder's states."""
    vector: Tensor
    """(rows, width), of unit length."""
    terms: Tensor | None = None
    """The terms that a query looks for: see `SparseEncoderModule.expand`. None for documents."""

    @property
    def mask(self) -> Tensor:
        """(rows, tokens): 1 where there is text."""
        return (self.ids != PAD).float()


def match_tokens(query: EncodedBatch, document: EncodedBatch, rarity: Tensor) -> Tensor:
    """Return how much of the query's tokens is in each document, the rare ones counting more, (rows,): 0 to 1.

    A token that is there n times counts n / (n + 1). `rarity` is (vocabulary,), whole numbers; control tokens have 0.
    """
    same = (query.ids[:, :, None] == document.ids[:, None, :]).float() * document.mask[:, None, :]
    count = same.sum(-1)
    weights = rarity[query.ids].float()
    matched: Tensor = (weights * count / (count + 1.0)).sum(-1) / weights.sum(-1).clamp_min(LEAST_RARITY)
    return matched


def without_control(ids: Tensor, rarity: Tensor) -> Tensor:
    """Return the ids of queries without control tokens, a prefix among them: all texts have them, so they tell nothing.

    A query that has nothing else keeps them.
    """
    weights = rarity[ids].float()
    return ids * ((weights > 0) | (weights.amax(-1, keepdim=True) == 0))


class Reader(nn.Module):
    """Every token of the query reads the document and votes; the weighted mean of the votes is a logit.

    A vote is the token's best cosine in the document (late interaction: ColBERT, Khattab and Zaharia 2020), plus the
    output of one layer of attention over the document's tokens. The weights of the votes depend on the query alone.

    Attention multiplies the query with the weights of keys and values, not every token of the document: the same
    numbers, and less work while a query has fewer tokens than width / heads.

    The names of parameters are stored in exported models, so they can't change.
    """

    def __init__(self, width: int, heads: int, dimensions: int = 128, inner: int = 768, scale: float = 11.0) -> None:
        super().__init__()
        self.heads = heads
        # Both projections (of query and document) start as the same one, which keeps angles about as they are. They are
        # parameters, no Linear layers, so that they keep their names in an exported graph.
        start = torch.linalg.qr(torch.randn(width, dimensions))[0]
        self.asked = nn.Parameter(start.clone())
        self.read = nn.Parameter(start.clone())
        self.weight = nn.Parameter(torch.zeros(width, 1))
        self.scale = nn.Parameter(torch.tensor(scale))
        self.clues = nn.Parameter(torch.zeros(CLUES, width))
        self.query, self.mixed = nn.Linear(width, width), nn.Linear(width, width)
        size = width // heads
        # Keys have no bias: it would change no softmax.
        self.key = nn.Parameter(torch.randn(heads, size, width) / math.sqrt(width))
        self.value = nn.Parameter(torch.randn(heads, width, size) / math.sqrt(width))
        self.value_bias = nn.Parameter(torch.zeros(width))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        # Zeros: the start is late interaction alone, and attention adds nothing until it has learned something.
        self.vote = nn.Parameter(torch.zeros(width, 1))
        nn.init.zeros_(self.down.weight)

    def start_from(self, layer: Any) -> None:
        """Copy the attention of a BERT layer, which has learned to read these states."""
        for module, source in (
            (self.query, layer.attention.self.query),
            (self.mixed, layer.attention.output.dense),
            (self.first, layer.attention.output.LayerNorm),
            (self.second, layer.output.LayerNorm),
        ):
            module.load_state_dict(source.state_dict())
        projections = layer.attention.self
        self.key.data.copy_(projections.key.weight.data.view(self.key.shape))
        self.value.data.copy_(projections.value.weight.data.view(self.key.shape).transpose(1, 2))
        self.value_bias.data.copy_(projections.value.bias.data)

    def forward(self, query: EncodedBatch, document: EncodedBatch, emphasis: Tensor | None = None) -> Tensor:
        """Return a logit per row. `emphasis` (rows,) is how much more than usual the best cosines count, if they do."""
        best = self._best_cosines(query, document)
        attended = self._attend(query.states + self.features(query, document, best) @ self.clues, document)
        return self.weigh(query, best, attended, emphasis)

    def weigh(self, query: EncodedBatch, best: Tensor, attended: Tensor, emphasis: Tensor | None) -> Tensor:
        """Return the weighted mean of the votes, (rows,), from the best cosines and what attention made of a token."""
        stressed = best if emphasis is None else best + emphasis[:, None] * (best - USUAL_BEST)
        votes = self.scale * stressed + (attended @ self.vote).squeeze(-1)
        weights = softplus(query.states @ self.weight).squeeze(-1) * query.mask
        return (votes * weights).sum(-1) / weights.sum(-1)

    def features(self, query: EncodedBatch, document: EncodedBatch, best: Tensor) -> Tensor:
        """Return what a query token knows of the document before it reads it, (rows, query tokens, CLUES).

        The best cosine; how often the same token is there (n / (n + 1)); whether it is there followed by the same next
        token (1 or 0); how long the document is.
        """
        same = (query.ids[:, :, None] == document.ids[:, None, :]).float() * document.mask[:, None, :]
        count = same.sum(-1)
        phrase = pad((same[:, :-1, :-1] * same[:, 1:, 1:]).amax(-1), (0, 1))
        length = (document.mask.sum(-1).log() / LOG_LONG)[:, None].expand_as(best)
        return torch.stack([best, count / (count + 1.0), phrase, length], -1)

    def _best_cosines(self, query: EncodedBatch, document: EncodedBatch) -> Tensor:
        """Return each query token's largest cosine with a document token, (rows, query tokens)."""
        of_query = normalize(query.states @ self.asked, dim=-1)
        of_document = normalize(document.states @ self.read, dim=-1)
        return (of_query @ of_document.transpose(1, 2) + (1.0 - document.mask[:, None, :]) * MASKED).amax(-1)

    def _attend(self, states: Tensor, document: EncodedBatch) -> Tensor:
        """Let query tokens attend to document tokens: one post-norm layer, (rows, query tokens, width)."""
        rows, tokens, width = states.shape
        size = width // self.heads
        queries = self.query(states).view(rows, tokens, self.heads, size).transpose(1, 2) @ self.key
        scores = queries.reshape(rows, -1, width) @ document.states.transpose(1, 2) / math.sqrt(size)
        shares = (scores + (1.0 - document.mask[:, None, :]) * MASKED).softmax(-1)
        values = (shares @ document.states).view(rows, self.heads, tokens, width) @ self.value
        mixed = self.mixed(values.transpose(1, 2).reshape(rows, tokens, width) + self.value_bias)
        states = self.first(states + mixed)
        attended: Tensor = self.second(states + self.down(gelu(self.up(states))))
        return attended


class SplitModule(nn.Module):
    """The layers of a BERT trunk with a reader on top, as a plain torch module.

    The first `separate` layers give the token states that are read, all of them the vector.
    logit = slope(query) x cosine of the vectors + the reader's votes + lexical(query) x matching terms
    + length(query) x how long the document is + bias. The third term needs a sparse encoder beside the trunk (`terms`),
    or, without one, how rare each token of the vocabulary is (`rarity`: then the tokens themselves are matched, by
    `match_tokens`). The fourth is 0 unless it was set. It is larger for short queries: they say little of what an
    answer must have, and a longer passage answers more often. Of a query of two or three tokens the best cosines count
    more, by `brevity`: two words are two conditions, and one vector of both often lost the sense of one.
    """

    def __init__(
        self,
        trunk: BertModel,
        separate: int,
        slope: float = 1.0,
        bias: float = 0.0,
        terms: SparseEncoderModule | None = None,
        rarity: Tensor | None = None,
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
        self.length = nn.Parameter(torch.tensor(0.0))
        self.brevity = nn.Parameter(torch.tensor(0.0))
        self.terms = terms
        self.rarity: Tensor | None
        self.register_buffer("rarity", None if rarity is None else rarity.to(torch.uint8))
        self.matches = terms is not None or rarity is not None
        if self.matches:
            self.lexical = nn.Parameter(torch.tensor(LEXICAL))
            self.lexical_gate = nn.Parameter(torch.zeros(self.width, 1))
        self.reader = Reader(self.width, self.heads)
        if len(self.upper):
            self.reader.start_from(self.upper[0])

    @classmethod
    def load(
        cls,
        trunk: Path | str,
        separate: int,
        slope: float = 1.0,
        *,
        terms: SparseEncoderModule | None = None,
        rarity: Tensor | None = None,
    ) -> SplitModule:
        """Return the untrained network of a Hugging Face bi-encoder's folder: its cosine and late interaction."""
        config = AutoConfig.from_pretrained(str(trunk), local_files_only=True)
        model = AutoModel.from_pretrained(str(trunk), config=config, local_files_only=True, dtype=torch.float32)
        return cls(model, separate, slope, terms=terms, rarity=rarity).eval()

    @property
    def positions(self) -> int:
        """Tokens of a text that every part has a position embedding for."""
        parts = [self.embeddings] if self.terms is None else [self.embeddings, self.terms.embeddings]
        return min(part.position_embeddings.num_embeddings for part in parts)

    def encode(self, ids: Tensor) -> EncodedBatch:
        """Encode texts, (texts, tokens) of [CLS] text [SEP], padded with 0."""
        states, vector = self.encode_trunk(ids)
        if self.terms is not None:
            states = torch.cat([states, self.terms.encode(ids)], -1)
        return EncodedBatch(ids, states, vector)

    def encode_queries(self, ids: Tensor) -> EncodedBatch:
        """Encode queries and the terms that they look for."""
        return self.with_terms(self.encode(ids))

    def with_terms(self, queries: EncodedBatch) -> EncodedBatch:
        """Add the terms that encoded queries look for, where there is a sparse encoder."""
        if self.terms is None:
            return queries
        return queries._replace(terms=self.terms.expand(queries.states[..., self.width :], queries.mask))

    def encode_trunk(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trunk's token states and vectors of texts."""
        states: Tensor = self.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
        mask = (ids != PAD).to(states.dtype)
        for layer in self.separate:
            states = bert_layer(layer, states, mask, self.heads)
        last = states
        for layer in self.upper:
            last = bert_layer(layer, last, mask, self.heads)
        weights = mask.unsqueeze(-1)
        return states, normalize((last * weights).sum(1) / weights.sum(1), dim=-1)

    def score(self, query: EncodedBatch, document: EncodedBatch) -> Tensor:
        """Return one logit per row."""
        asked, read = (batch._replace(states=batch.states[..., : self.width]) for batch in (query, document))
        if self.rarity is not None:
            asked = asked._replace(ids=without_control(asked.ids, self.rarity))
        votes = self.reader(asked, read, self.emphasis(asked))
        logit: Tensor = self.weigh_vector(query, document) + votes + self.bias + self.length_prior(query, document)
        if query.terms is not None:
            matched = match(query.terms, document.states[..., self.width :], document.mask)
        elif self.rarity is not None:
            matched = match_tokens(query, document, self.rarity)
        else:
            return logit
        return logit + self.weigh_match(query, matched)

    def weigh_vector(self, query: EncodedBatch, document: EncodedBatch) -> Tensor:
        """Return what the cosine of the vectors adds, (rows,)."""
        weighed: Tensor = self._weight(self.slope, self.gate, query) * (query.vector * document.vector).sum(-1)
        return weighed

    def weigh_match(self, query: EncodedBatch, matched: Tensor) -> Tensor:
        """Return what matching terms add, (rows,)."""
        weighed: Tensor = self._weight(self.lexical, self.lexical_gate, query) * matched
        return weighed

    def rescale(self, slope: float, shift: float) -> None:
        """Change the weights so that every logit becomes slope x logit + shift."""
        parts = [self.slope, self.reader.scale, self.reader.vote, self.length, self.bias]
        for part in (*parts, self.lexical) if self.matches else parts:
            part.data.mul_(slope)
        self.bias.data.add_(shift)

    def emphasis(self, query: EncodedBatch) -> Tensor:
        """Return how much more the best cosines count, (rows,): nothing for a query of four tokens or more."""
        # Where tokens have a rarity, control tokens were taken out before.
        asked = query.mask.sum(-1) - (SPECIAL_TOKENS if self.rarity is None else 0)
        emphasis: Tensor = self.brevity * ((NOT_BRIEF - asked) / (NOT_BRIEF - BRIEF)).clamp(0.0, 1.0)
        return emphasis

    def length_prior(self, query: EncodedBatch, document: EncodedBatch) -> Tensor:
        """Return what the document's length adds, (rows,): nothing for a sentence."""
        asked = query.mask.sum(-1) - SPECIAL_TOKENS
        read = (document.mask.sum(-1).clamp_min(SHORT_TOKENS) / SHORT_TOKENS).log() / LOG_LONG
        prior: Tensor = self.length * (asked / -FADING_TOKENS).exp() * read
        return prior

    @staticmethod
    def _weight(base: Tensor, gate: Tensor, query: EncodedBatch) -> Tensor:
        """Return how much a part of the logit counts for each query, (rows,)."""
        return base * (query.vector @ gate).squeeze(-1).exp()
