"""Hard negatives: passages that look like answers to a first stage, and are none."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resift.evaluation.bm25 import bm25_indices
from resift.training.pairs import TrainingPair

CANDIDATES = 50  # of each first stage, among which negatives are drawn
QUERIES_PER_BLOCK = 512  # compared with all passages at once
SAME_WORDS = 0.8  # shared words over all words; from here on two passages say the same

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Texts to unit vectors, (texts, dimensions)."""


@dataclass(frozen=True, slots=True)
class CandidateList:
    """A query with passages to put in order: what one step of listwise training looks at."""

    query: str
    documents: tuple[str, ...]
    """Those that answer the query come first."""
    positives: int = 1
    """How many of them answer it."""


def mine(pairs: Sequence[TrainingPair], embed: Embed, *, negatives: int, seed: int) -> list[CandidateList]:
    """Return a list for every pair: its positive, then up to `negatives` passages that are none.

    Known negatives go first; the others are drawn from the first candidates of BM25 and of the bi-encoder among all
    passages (half each, and one at random). A passage that answers the same query, or nearly repeats an answer, is
    no negative. The same pairs and seed give the same lists.
    """
    passages = list(dict.fromkeys(text for pair in pairs for text in (pair.positive, *pair.negatives)))
    queries = list(dict.fromkeys(pair.query for pair in pairs))
    answers: dict[str, list[str]] = {}
    for pair in pairs:
        answers.setdefault(pair.query, []).append(pair.positive)
    stages = (bm25_indices(passages, queries, CANDIDATES), _nearest(passages, queries, embed))
    draw = random.Random(seed)  # noqa: S311 - a choice of examples, nothing secret
    words = {text: _words(text) for text in passages}
    rows = {query: row for row, query in enumerate(queries)}
    lists = []
    for pair in pairs:
        answer_words = [words[answer] for answer in answers[pair.query]]

        def is_wrong(text: str, answer_words: Sequence[frozenset[str]] = answer_words) -> bool:
            return all(_shared_words(words[text], answer) < SAME_WORDS for answer in answer_words)

        chosen = dict.fromkeys(pair.negatives)
        row = rows[pair.query]
        sources = [[passages[index] for index in stage[row]] for stage in stages]
        _fill(chosen, sources, is_wrong, negatives - 1, draw)
        _fill(chosen, [[draw.choice(passages) for _ in range(CANDIDATES)]], is_wrong, negatives, draw)
        lists.append(CandidateList(pair.query, (pair.positive, *list(chosen)[:negatives])))
    return lists


def _fill(
    chosen: dict[str, None],
    sources: Sequence[Sequence[str]],
    is_wrong: Callable[[str], bool],
    wanted: int,
    draw: random.Random,
) -> None:
    """Add texts drawn from the sources in turn until `wanted` are chosen or nothing is left."""
    shuffled = [draw.sample(source, len(source)) for source in sources]
    for position in range(max(map(len, shuffled), default=0)):
        for source in shuffled:
            if len(chosen) >= wanted:
                return
            if position < len(source) and source[position] not in chosen and is_wrong(source[position]):
                chosen[source[position]] = None


def _nearest(passages: Sequence[str], queries: Sequence[str], embed: Embed) -> NDArray[np.int64]:
    """Return the indices of each query's nearest passages, (queries, CANDIDATES), nearest first."""
    passage_vectors = embed(passages)
    query_vectors = embed(queries)
    blocks = []
    for start in range(0, len(queries), QUERIES_PER_BLOCK):
        similarities = query_vectors[start : start + QUERIES_PER_BLOCK] @ passage_vectors.T
        blocks.append(np.argsort(-similarities, axis=1, kind="stable")[:, :CANDIDATES])
    return np.concatenate(blocks)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _shared_words(left: frozenset[str], right: frozenset[str]) -> float:
    """Return the share of the words of both texts that both have, 0 to 1."""
    return len(left & right) / max(1, len(left | right))


def keywords(pairs: Sequence[TrainingPair], share: float, seed: int) -> list[TrainingPair]:
    """Return the pairs, this share of their queries as people type into a search box: without question words and "?".

    >>> keywords([TrainingPair("What is the capital of France?", "Paris")], share=1.0, seed=7)[0].query
    'capital France'
    """
    draw = random.Random(seed)  # noqa: S311 - a choice of examples, nothing secret
    shortened = []
    for pair in pairs:
        words = [word for word in re.findall(r"[\w'./+#-]+", pair.query) if word.lower() not in _FILLERS]
        query = " ".join(words).rstrip(".") if draw.random() < share and len(words) > 1 else pair.query
        shortened.append(TrainingPair(query, pair.positive, pair.negatives, pair.group))
    return _without_contradictions(shortened)


def _without_contradictions(pairs: Sequence[TrainingPair]) -> list[TrainingPair]:
    """Drop negatives that answer the same query: two questions may have become the same one when they were cut."""
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
    """Return every document of the lists once, in order of appearance."""
    return list(dict.fromkeys(document for candidates in lists for document in candidates.documents))
