"""The score of a split network, such as the bundled one, taken apart into what pairs of tokens contribute.

Most parts are sums over pairs of tokens by themselves. The cosine of two means is the mean of all pairs' products.
Late interaction takes one document token for each query token, and matching terms takes one for each term, which
belongs to the query token that stands for it most. What attention reads goes through a layer that is no sum; there the
integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) from nothing read to all that is read are a sum again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.session import Session
from resift.engines.split.reader import EncodedQuery, SplitNetwork
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
from resift.errors import ModelFileError
from resift.explanation.contributions import TokenContributions, put
from resift.explanation.graph_file import GraphFile, open_bytes
from resift.explanation.reader_math import Floats, Vote, Weights, softmax, softplus, unit_rows
from resift.models.manifest import ENCODER, READER
from resift.text.tokenizer import Ids

COSINE = "similarity of the texts"
LATE = "best match of each word"
SAME = "same words"
ATTENTION = "attention"
TERMS = "matching terms"
STEPS = (
    8  # of the integral: for the bundled network as good as 64, within 1e-9; what is missing is counted as the query's
)


class EncodedText(NamedTuple):
    """A text as the reader gets it, in float64, special tokens included."""

    ids: NDArray[np.int64]
    states: Floats
    """(tokens, width): the trunk's."""
    term_states: Floats
    """(tokens, its width): the sparse encoder's."""
    last: Floats
    """(tokens, width): the last layer's, whose mean is the vector."""


@dataclass
class SplitParts:
    """Takes the scores of one network apart. It opens the encoder a second time, with its last layer as an output."""

    folder: Path
    network: SplitNetwork
    threads: int | None

    @cached_property
    def weights(self) -> Weights:
        """The reader's parameters."""
        return Weights.read(GraphFile.read(self.folder / READER))

    @cached_property
    def last_layer(self) -> Session:
        """The encoder, which gives the states of the last layer as its third output."""
        graph = GraphFile.read(self.folder / ENCODER)
        data = graph.with_outputs(_last_layer_name(graph))
        return Session(partial(open_bytes, data, self.folder, self.threads), self.threads)

    def contributions(self, query_ids: Ids, document_ids: Ids) -> TokenContributions:
        """Return what each pair of tokens contributes to the score. The document is as long as the network reads."""
        network = self.network
        # Both are known where the pair was scored just now: the query always, the document where states are kept.
        (encoded,) = network.query_cache.get_or_compute([query_ids.tobytes()], network.encode_queries)
        query = self._encoded(encoded.ids, encoded.states)
        if network.encoder.store is None:
            document = self._encode(network.encoder.template.assemble([document_ids]))
        else:
            documents, _ = network.encoder.encode_or_load([document_ids])
            document = self._encoded(documents.ids[0], documents.states[0])
        is_text = document.ids != 0
        asked = query._replace(ids=self._without_control(query.ids))
        pairs, query_alone = self._read(asked, document, is_text)
        pairs[COSINE] = self._cosine(query, document, encoded)
        if encoded.terms is not None:
            pairs[TERMS] = self._match_terms(query, document, is_text, encoded)
        elif self._rarity is not None:
            pairs[TERMS] = self._match_tokens(query, document, is_text, encoded)
        constant = float(self.weights.value("bias")) + self._length_prior(len(query.ids), int(is_text.sum()))
        return TokenContributions(pairs, query_alone, constant)

    def _encoded(self, ids: NDArray[np.int64], states: NDArray[np.float32]) -> EncodedText:
        """Add the last layer's states to those that are known."""
        width = self.weights.of_reader("value_bias").shape[0]
        last = self.last_layer.run(None, {"input_ids": ids[None]})[2][0]
        whole = states.astype(np.float64)
        return EncodedText(ids, whole[:, :width], whole[:, width:], last.astype(np.float64))

    def _encode(self, ids: NDArray[np.int64]) -> EncodedText:
        """Encode a text in one pass, (1, tokens)."""
        states, _, last = self.last_layer.run(None, {"input_ids": ids})
        terms = self.network.encoder.terms
        of_terms = np.zeros((1, len(ids[0]), 0), np.float32) if terms is None else terms.encode(ids)
        return EncodedText(ids[0], *(part[0].astype(np.float64) for part in (states, of_terms, last)))

    def _cosine(self, query: EncodedText, document: EncodedText, encoded: EncodedQuery) -> Floats:
        slope = self._weight_of(encoded, "slope", "gate")
        sides = []
        for text in (query, document):
            states = text.last * (text.ids != 0)[:, None]
            sides.append(states / max(float(np.linalg.norm(states.sum(0))), 1e-12))
        product: Floats = slope * (sides[0] @ sides[1].T)
        return product

    def _match_terms(
        self, query: EncodedText, document: EncodedText, is_text: NDArray[np.bool_], encoded: EncodedQuery
    ) -> Floats:
        if encoded.terms is None:
            raise ValueError("a query without terms")
        vectors, bias, shares = encoded.terms[:, :-2], encoded.terms[:, -2], encoded.terms[:, -1]
        return match_terms(
            query.term_states @ vectors.T,
            np.where(is_text[:, None], document.term_states @ vectors.T + bias, -np.inf),
            self._weight_of(encoded, "lexical", "lexical_gate") * shares.astype(np.float64),
        )

    @property
    def _rarity(self) -> Floats | None:
        """How rare each token of the vocabulary is; None for a network that doesn't match tokens."""
        return self.weights.plain.get("rarity")

    def _without_control(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the query's ids as its reader gets them, as `resift.networks.split.without_control`."""
        if self._rarity is None:
            return ids
        weights = self._rarity[ids]
        kept: NDArray[np.int64] = ids * (weights > 0) if weights.any() else ids
        return kept

    def _match_tokens(
        self, query: EncodedText, document: EncodedText, is_text: NDArray[np.bool_], encoded: EncodedQuery
    ) -> Floats:
        """Return what `resift.networks.split.match_tokens` gives, shared out among the places of each token."""
        if self._rarity is None:
            raise ValueError("a network that matches no tokens")
        weights = self._rarity[query.ids]
        same = (query.ids[:, None] == document.ids[None]) & is_text
        count = same.sum(1)
        shares = weights / max(float(weights.sum()), LEAST_RARITY)
        return _spread(same, self._weight_of(encoded, "lexical", "lexical_gate") * shares * count / (count + 1.0))

    def _emphasis(self, asked: int) -> float:
        """Return how much more than usual the best cosines count, as `SplitModule.emphasis`."""
        special = SPECIAL_TOKENS if self._rarity is None else 0
        brief = (NOT_BRIEF + special - asked) / (NOT_BRIEF - BRIEF)
        return float(self.weights.plain.get("brevity", 0.0)) * min(1.0, max(0.0, brief))

    def _length_prior(self, asked: int, read: int) -> float:
        """Return what the document's length adds, as `SplitModule.length_prior`; earlier versions have none."""
        weight = float(self.weights.plain.get("length", 0.0))
        fading = math.exp((SPECIAL_TOKENS - asked) / FADING_TOKENS)
        return weight * fading * math.log(max(read, SHORT_TOKENS) / SHORT_TOKENS) / LOG_LONG

    def _weight_of(self, encoded: EncodedQuery, base: str, gate: str) -> float:
        """Return how much a part counts for this query, as `SplitModule._weight`."""
        power = float(encoded.vector @ self.weights.value(gate)[:, 0])
        return float(self.weights.value(base)) * math.exp(power)

    def _read(
        self, query: EncodedText, document: EncodedText, is_text: NDArray[np.bool_]
    ) -> tuple[dict[str, Floats], Floats]:
        """Return the parts of the reader's votes, and what is the query's alone."""
        of = self.weights.of_reader
        cosines = unit_rows(query.states @ of("asked")) @ unit_rows(document.states @ of("read")).T
        cosines[:, ~is_text] = -np.inf
        rows, found = np.arange(len(query.ids)), cosines.argmax(1)
        best = cosines[rows, found]
        weights = softplus(query.states @ of("weight"))[:, 0] * (query.ids != 0)
        weights = weights / weights.sum()

        same = (query.ids[:, None] == document.ids[None]) & is_text
        count = same.sum(1)
        following = np.zeros(same.shape, bool)
        following[:-1, :-1] = same[:-1, :-1] & same[1:, 1:]
        phrase = following.any(1)
        length = np.full(len(rows), math.log(is_text.sum()) / LOG_LONG)
        clues = np.stack([best, count / (count + 1.0), phrase, length], 1)
        read = query.states + clues @ of("clues")
        shares = self._attention(read, document, is_text)
        start = query.states + self.weights.apply("mixed", of("value_bias")) + np.outer(length, of("clues")[3])
        sources = self._sources(shares, document)
        end = start + clues[:, :3] @ of("clues")[:3] + sources.sum
        vote = Vote(self.weights)
        gradient = _mean_gradient(vote, start, end)

        attended = sources.along(gradient)
        steps = gradient @ of("clues").T * clues  # (query tokens, CLUES)
        late = np.zeros(same.shape)
        stressed = best + self._emphasis(int((query.ids != 0).sum())) * (best - USUAL_BEST)
        late[rows, found] = float(of("scale")) * stressed + steps[:, 0]
        equal = _spread(same, steps[:, 1]) + _spread(following, steps[:, 2])
        alone = vote(end) - attended.sum(1) - steps[:, :3].sum(1)
        weighted = weights[:, None]
        return {LATE: weighted * late, SAME: weighted * equal, ATTENTION: weighted * attended}, weights * alone

    def _attention(self, read: Floats, document: EncodedText, is_text: NDArray[np.bool_]) -> Floats:
        """Return how query tokens share their attention out, (heads, query tokens, document tokens)."""
        key = self.weights.of_reader("key")
        heads, size, _ = key.shape
        asked = self.weights.apply("query", read).reshape(len(read), heads, size).transpose(1, 0, 2) @ key
        return softmax(asked @ document.states.T / math.sqrt(size) + np.where(is_text, 0, MASKED))

    def _sources(self, shares: Floats, document: EncodedText) -> _Sources:
        values = document.states @ self.weights.of_reader("value")  # (heads, document tokens, size)
        mixed = self.weights.linear["reader.mixed"].reshape(len(values), values.shape[2], -1)
        return _Sources(shares, values, mixed)


class _Sources(NamedTuple):
    """What attention brings to each query token from each document token."""

    shares: Floats
    """(heads, query tokens, document tokens)."""
    values: Floats
    """(heads, document tokens, size)."""
    mixed: Floats
    """(heads, size, width)."""

    @property
    def sum(self) -> Floats:
        """All that each query token reads, (query tokens, width)."""
        return np.asarray((self.shares @ self.values @ self.mixed).sum(0))

    def along(self, gradient: Floats) -> Floats:
        """What each document token brings in the direction of each query token's gradient, (query, document tokens)."""
        directions = gradient @ self.mixed.transpose(0, 2, 1)  # (heads, query tokens, size)
        return np.asarray((self.shares * (directions @ self.values.transpose(0, 2, 1))).sum(0))


def match_terms(of_query: Floats, of_document: Floats, weights: Floats) -> Floats:
    """Return what pairs of tokens contribute to the match of terms.

    Args:
        of_query: How much each query token stands for each term, (query tokens, terms).
        of_document: The logits of the terms at each document token, (document tokens, terms).
        weights: What each term counts, (terms,).
    """
    values = np.log1p(np.maximum(of_document.max(0), 0)) * weights
    return put((len(of_query), len(of_document)), of_query.argmax(0), of_document.argmax(0), values)


def _mean_gradient(vote: Vote, start: Floats, end: Floats) -> Floats:
    """Return the mean gradient of the votes on the straight way from start to end, (query tokens, width)."""
    places, weights = np.polynomial.legendre.leggauss(STEPS)
    total = np.zeros_like(start)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        total += weight * vote.gradient(start + place * (end - start))
    return total


def _spread(places: NDArray[np.bool_], values: Floats) -> Floats:
    """Return each row's value, shared out equally among the places of its row."""
    spread: Floats = places * (values / np.maximum(places.sum(1), 1))[:, None]
    return spread


def _last_layer_name(graph: GraphFile) -> str:
    """Return the name of the states whose mean is the vector: the input of the product with the mask before it."""
    makers = graph.makers()
    name = "vector"
    while name in makers and makers[name].kind != "Mul":
        name = makers[name].inputs[0]
    if name not in makers:
        raise ModelFileError(f"{graph.path} makes its vector in an unknown way: export the model again")
    return makers[name].inputs[0]
