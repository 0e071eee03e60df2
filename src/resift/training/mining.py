"""Hard negatives: passages that look like answers to a first stage, and are none."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resift.evaluation.bm25 import bm25_places
from resift.training.pairs import TrainingPair

FOUND = 50  # candidates of each first stage that negatives are drawn from
BLOCK = 512  # queries compared with all passages at once
SAME = 0.8  # shared words over all words; from here on two passages say the same

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Texts to unit vectors, (texts, dimensions)."""


@dataclass(frozen=True, slots=True)
class CandidateList:
    """A query with passages to put in order: what one step of listwise training looks at."""

    query: str
    documents: tuple[str, ...]
    """Those that answer first."""
    positives: int = 1
    """How many of them answer."""


def mine(pairs: Sequence[TrainingPair], embed: Embed, *, negatives: int, seed: int) -> list[CandidateList]:
    """A list for every pair: its positive, then so many negatives.

    Given negatives go first; the others are drawn from what BM25 and the bi-encoder find among all passages (half
    each, and one at random). A passage that answers the same query, or nearly repeats an answer, is no negative.
    The same pairs and seed give the same lists.
    """
    passages = list(dict.fromkeys(text for pair in pairs for text in (pair.positive, *pair.negatives)))
    queries = list(dict.fromkeys(pair.query for pair in pairs))
    answers: dict[str, list[str]] = {}
    for pair in pairs:
        answers.setdefault(pair.query, []).append(pair.positive)
    stages = (bm25_places(passages, queries, FOUND), _by_meaning(passages, queries, embed))
    draw = random.Random(seed)  # noqa: S311 - a choice of examples, nothing secret
    words = {text: _words(text) for text in passages}
    rows = {query: row for row, query in enumerate(queries)}
    lists = []
    for pair in pairs:
        known = [words[answer] for answer in answers[pair.query]]

        def wrong(text: str, known: Sequence[frozenset[str]] = known) -> bool:
            return all(_shared(words[text], answer) < SAME for answer in known)

        chosen = dict.fromkeys(pair.negatives)
        row = rows[pair.query]
        sources = [[passages[place] for place in stage[row]] for stage in stages]
        _fill(chosen, sources, wrong, negatives - 1, draw)
        _fill(chosen, [[draw.choice(passages) for _ in range(FOUND)]], wrong, negatives, draw)
        lists.append(CandidateList(pair.query, (pair.positive, *list(chosen)[:negatives])))
    return lists


def _fill(
    chosen: dict[str, None],
    sources: Sequence[Sequence[str]],
    wrong: Callable[[str], bool],
    wanted: int,
    draw: random.Random,
) -> None:
    """Draws from the sources in turn until so many are chosen or nothing is left."""
    shuffled = [draw.sample(source, len(source)) for source in sources]
    for place in range(max(map(len, shuffled), default=0)):
        for source in shuffled:
            if len(chosen) >= wanted:
                return
            if place < len(source) and source[place] not in chosen and wrong(source[place]):
                chosen[source[place]] = None


def _by_meaning(passages: Sequence[str], queries: Sequence[str], embed: Embed) -> NDArray[np.int64]:
    vectors = embed(passages)
    asked = embed(queries)
    found = []
    for start in range(0, len(queries), BLOCK):
        similar = asked[start : start + BLOCK] @ vectors.T
        found.append(np.argsort(-similar, axis=1, kind="stable")[:, :FOUND])
    return np.concatenate(found)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


def keywords(pairs: Sequence[TrainingPair], share: float, seed: int) -> list[TrainingPair]:
    """The pairs, this share of them asked as people type into a search box: no question words, no question mark.

    >>> keywords([TrainingPair("What is the capital of France?", "Paris")], share=1.0, seed=7)[0].query
    'capital France'
    """
    draw = random.Random(seed)  # noqa: S311 - a choice of examples, nothing secret
    asked = []
    for pair in pairs:
        kept = [word for word in re.findall(r"[\w'./+#-]+", pair.query) if word.lower() not in _FILLERS]
        cut = " ".join(kept).rstrip(".") if draw.random() < share and len(kept) > 1 else pair.query
        asked.append(TrainingPair(cut, pair.positive, pair.negatives, pair.group))
    return _without_contradictions(asked)


def _without_contradictions(pairs: Sequence[TrainingPair]) -> list[TrainingPair]:
    """Cut short, two questions may have become one: what answers it is no negative of it."""
    answers: dict[str, set[str]] = {}
    for pair in pairs:
        answers.setdefault(pair.query, set()).add(pair.positive)
    return [
        TrainingPair(
            pair.query, pair.positive, tuple(text for text in pair.negatives if text not in answers[pair.query])
        )
        for pair in pairs
    ]


_FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an the what which who whom whose when where why how is are was were be been do does did can could should "
        "would will i my me you your we it its of in on to for from with and or there this that these those",
    )
)


def documents(lists: Sequence[CandidateList]) -> list[str]:
    """Every document of the lists, once, in order of appearance."""
    return list(dict.fromkeys(document for one in lists for document in one.documents))
