"""The score of `resift:tiny` taken apart: both of its parts are sums over pairs of tokens by themselves."""

from __future__ import annotations

import numpy as np

from resift.engines.tiny import MATCHING_WEIGHT, MEANING_WEIGHT, SHIFT, TinyNetwork
from resift.explanation.contributions import Floats, TokenContributions
from resift.explanation.split_parts import COSINE, TERMS, match_terms
from resift.text.tokenizer import Ids


class TinyParts:
    """Takes the scores of a tiny network apart."""

    def __init__(self, network: TinyNetwork) -> None:
        self.network = network

    def contributions(self, query_ids: Ids, document_ids: Ids) -> TokenContributions:
        """Return what each pair of tokens contributes to the score. The document is as long as the network reads."""
        network = self.network
        query, document = (network.template.assemble([ids]) for ids in (query_ids, document_ids))
        query_states, document_states = network.terms.encode(query)[0], network.terms.encode(document)[0]
        terms = network.terms.expand(query_states)
        vectors, bias, shares = terms[:, :-2], terms[:, -2], terms[:, -1]
        is_text = document[0] != 0
        matching = match_terms(
            query_states @ vectors.T,
            np.where(is_text[:, None], document_states @ vectors.T + bias, -np.inf),
            MATCHING_WEIGHT * shares.astype(np.float64),
        )
        before, after = len(network.template.before), len(network.template.after)
        meaning = np.pad(self._meaning(query_ids, document_ids), (before, after))
        return TokenContributions({COSINE: meaning, TERMS: matching}, np.zeros(len(query[0])), SHIFT)

    def _meaning(self, query_ids: Ids, document_ids: Ids) -> Floats:
        """Return what each pair contributes to the cosine of the two sums of token vectors."""
        sides = []
        for ids in (query_ids, document_ids):
            table = self.network.table
            rows: Floats = table.vectors[ids].astype(np.float64) * table.scales[ids, None]
            if table.unknown is not None and (ids == table.unknown).all():
                rows[:] = 0
            sides.append(rows / max(float(np.linalg.norm(rows.sum(0))), 1e-30))
        product: Floats = MEANING_WEIGHT * (sides[0] @ sides[1].T)
        return product
