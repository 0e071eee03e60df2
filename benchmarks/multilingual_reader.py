"""Learns, for `resift:multilingual`, which tokens of a query count, and how much each part of the score does.

`multilingual_start.py --pairs FILE:QUERIES ...` calls `learn`. The encoder and the projections stay as they are, so a
pair is a few numbers, and all of them are learned from at once. Each file of pairs is a kind of question. A list has an
answer and up to 15 passages of its kind that BM25 or the bi-encoder find; half of the target is that label, half what
the network says before (as `resift train --teacher base --hard 0.5`).
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus
from torch.nn.utils.rnn import pad_sequence

from resift.evaluation.bm25 import bm25_indices
from resift.networks.split import FADING_TOKENS, LOG_LONG, SHORT_TOKENS, SplitModule
from resift.training.split_cross_encoder import SplitPairs

TOKENS = 160  # of a text that are read
NEGATIVES = 15  # passages of a list beside the answer
FOUND, NEAR = 50, 12  # candidates of each first stage, and the best of them, from which more are drawn
FROM_NEAR, FROM_FAR = 5, 3  # drawn of each first stage's best, and of the others
SAME_WORDS = 0.8  # shared words over all words; from here on two passages say the same
STEPS, RATE, DECAY = 120, 0.03, 1e-4
BLEND = 0.75  # the share of what was learned; less than all of it keeps what was good on other kinds of questions
HARD = 0.5  # the label's share of the target
SHARPNESS = 1.276  # what the network's logits are multiplied with before they are shares of the target
LEARNED = ("slope", "lexical", "reader.scale", "reader.weight")
"""Names of what changes in the network."""


class Kind(NamedTuple):
    """The lists of one kind of question, as numbers. Pairs stand list by list, the answer first."""

    states: Tensor
    """(queries, tokens, width): those of the queries."""
    mask: Tensor
    """(queries, tokens): 1 for a token that votes."""
    rows: Tensor
    """(pairs,): the query of each."""
    places: Tensor
    """(pairs,): its place in its list."""
    best: Tensor
    """(pairs, tokens): the best cosine of each token of the query."""
    cosines: Tensor
    matched: Tensor
    lengths: Tensor
    """(pairs,) each: the other parts of the score, without their weights but for the length's."""


class Weights(nn.Module):
    """What is learned: a factor for each part's weight, and the weight of a token's vote."""

    def __init__(self, network: SplitModule) -> None:
        super().__init__()
        self.network = (network,)  # in a tuple, so that its weights don't count as ours
        self.factors = nn.Parameter(torch.zeros(3))
        self.token = nn.Parameter(torch.zeros(network.width))

    def forward(self, kind: Kind) -> Tensor:
        """Return the logits of the pairs, without the bias, (pairs,)."""
        (network,) = self.network
        slope, late, lexical = torch.stack([network.slope, network.reader.scale, network.lexical]) * self.factors.exp()
        shares = softplus(kind.states @ self.token) * kind.mask
        votes = ((shares / shares.sum(1, keepdim=True))[kind.rows] * kind.best).sum(1)
        return slope * kind.cosines + late * votes + lexical * kind.matched + kind.lengths

    @torch.no_grad()
    def store(self) -> None:
        """Write the share of what was learned into the network."""
        (network,) = self.network
        factors = (BLEND * self.factors).exp()
        for weight, factor in zip((network.slope, network.reader.scale, network.lexical), factors, strict=True):
            weight.mul_(factor)
        network.reader.weight.copy_(BLEND * self.token[:, None])


def learn(pairs: SplitPairs, files: Sequence[str]) -> float:
    """Learn from `FILE:QUERIES`, change the network, and return the last loss."""
    pairs.set_max_length(TOKENS)
    kinds = [read_kind(pairs, Path(name), int(count)) for name, _, count in (file.rpartition(":") for file in files)]
    weights = Weights(pairs.network.requires_grad_(False))  # type: ignore[no-untyped-call]  # untyped in torch
    optimiser = torch.optim.Adam(weights.parameters(), lr=RATE)
    with torch.no_grad():
        targets = [(1 - HARD) * by_list(kind, SHARPNESS * weights(kind)).exp() for kind in kinds]
    for target in targets:
        target[:, 0] += HARD
    queries = sum(len(kind.states) for kind in kinds)
    loss = torch.tensor(0.0)
    for _ in range(STEPS):
        loss = DECAY * (weights.token**2).sum()
        for kind, target in zip(kinds, targets, strict=True):
            loss = loss - (target * by_list(kind, weights(kind)).clamp_min(-60)).sum() / queries
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimiser.step()
    weights.store()
    return float(loss.detach())


def by_list(kind: Kind, logits: Tensor) -> Tensor:
    """Return the logarithms of shares within each list, (queries, longest list)."""
    padded = torch.full((len(kind.states), int(kind.places.max()) + 1), -1e9)
    return padded.index_put((kind.rows, kind.places), logits).log_softmax(1)


def read_kind(pairs: SplitPairs, file: Path, count: int) -> Kind:
    """Choose questions of a file, list passages for them, and return the numbers of all pairs."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    draw = random.Random(17 + len(file.name.removesuffix(".jsonl.gz")))
    draw.shuffle(rows)
    answers: dict[str, set[str]] = {}
    for row in rows:
        answers.setdefault(row["query"].strip(), set()).add(row["positive"].strip())
    chosen, passages = choose(rows, count)
    queries = list(chosen)
    places = {passage: place for place, passage in enumerate(passages)}
    near = np.argsort(-(pairs.embed(queries) @ pairs.embed(passages).T), 1)[:, :FOUND]
    found = bm25_indices(passages, queries, min(FOUND, len(passages)))
    words = [frozenset(re.findall(r"\w+", passage.lower())) for passage in passages]
    lists = []
    for index, query in enumerate(queries):
        right = {places[answer] for answer in answers[query] if answer in places}
        drawn = []
        for stage in (found, near):
            wrong = [int(place) for place in stage[index] if int(place) not in right]
            kept = [place for place in wrong if not any(same_words(words[place], words[answer]) for answer in right)]
            best, others = kept[:NEAR], kept[NEAR:]
            sample = draw.sample(best, min(FROM_NEAR, len(best)))
            drawn.append(sample + draw.sample(others, min(FROM_FAR, len(others))))
        mixed = dict.fromkeys(place for both in zip(*drawn, strict=False) for place in both)
        lists.append([places[chosen[query]], *list(mixed)[:NEGATIVES]])
    return numbers(pairs, queries, passages, lists)


def choose(rows: Sequence[dict[str, str]], count: int) -> tuple[dict[str, str], list[str]]:
    """Return questions with their answers, and these answers with some more passages of the same groups."""
    chosen: dict[str, str] = {}
    groups: dict[str, int] = {}
    largest = max(3, 3 * count // len({row.get("group", "") for row in rows}))
    used = set()
    for row in rows:
        query, answer, group = row["query"].strip(), row["positive"].strip(), row.get("group", "")
        if query in chosen or answer in used or not query or not answer or groups.get(group, 0) >= largest:
            continue
        chosen[query] = answer
        used.add(answer)
        groups[group] = groups.get(group, 0) + 1
        if len(chosen) >= count:
            break
    passages = dict.fromkeys(chosen.values())
    for of_groups in (True, False):
        for row in rows:
            if len(passages) >= int(1.2 * len(chosen)) + 40:
                break
            if row["positive"].strip() and (not of_groups or row.get("group", "") in groups):
                passages.setdefault(row["positive"].strip())
    return chosen, list(passages)


def same_words(left: frozenset[str], right: frozenset[str]) -> bool:
    """Return whether two passages say nearly the same."""
    return len(left & right) >= SAME_WORDS * max(1, len(left | right))


@torch.no_grad()
def numbers(pairs: SplitPairs, queries: Sequence[str], passages: Sequence[str], lists: Sequence[Sequence[int]]) -> Kind:
    """Return the parts of the score of every pair."""
    network, rarity = pairs.network, pairs.network.rarity
    assert rarity is not None, "a network with a sparse encoder matches no tokens"
    asked, read = pairs._encode_cached(queries), pairs._encode_cached(passages)
    projected = [normalize(text.states.float() @ network.reader.read, dim=-1) for text in read]
    best, matched, cosines, lengths = [], [], [], []
    for query, places in zip(asked, lists, strict=True):
        tokens = normalize(query.states.float() @ network.reader.asked, dim=-1)
        weights = rarity[query.ids].float()
        fading = network.length * np.exp(-(len(query.ids) - 2) / FADING_TOKENS) / LOG_LONG
        for place in places:
            best.append((tokens @ projected[place].T).amax(1))
            count = (query.ids[:, None] == read[place].ids[None]).sum(1).float()
            matched.append((weights * count / (count + 1)).sum() / weights.sum().clamp_min(1))
            cosines.append(query.vector.float() @ read[place].vector.float())
            lengths.append(fading * np.log(max(len(read[place].ids), SHORT_TOKENS) / SHORT_TOKENS))
    return Kind(
        pad_sequence([query.states.float() for query in asked], batch_first=True),
        pad_sequence([(rarity[query.ids] > 0).float() for query in asked], batch_first=True),
        torch.tensor([row for row, places in enumerate(lists) for _ in places]),
        torch.tensor([place for places in lists for place in range(len(places))]),
        pad_sequence(best, batch_first=True),
        torch.stack(cosines),
        torch.stack(matched),
        torch.stack(lengths),
    )
