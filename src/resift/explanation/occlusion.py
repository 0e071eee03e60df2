"""Explanations for any scorer: by how much the score falls when a word or a sentence is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift._util.arguments import whole_number
from resift.errors import InputError
from resift.explanation.explanation import Explanation
from resift.explanation.words import Word, find_words
from resift.scorer import Request, Scorer, ScorerTraits, Scores, Span, check_scores, score_many
from resift.text.sentences import find_sentences

Unit = Literal["word", "sentence"]
CLOSING = ",.;:!?)]}"  # what stands right behind a word; and so does the end of a text


class Part(NamedTuple):
    """What is left out at once: text[start:end]."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OcclusionPlan:
    """What a scorer will be asked, known before it is asked."""

    parts: tuple[Part, ...]
    unit: str
    """What a part is: "words", "sentences" or "groups of words" and "groups of sentences"."""
    query_parts: tuple[Part, ...]
    """Words that are left out of the query as well; none where the budget doesn't allow it."""
    pairs: int
    """Texts to score, at most: equal ones are scored once."""

    @classmethod
    def make(
        cls, query: str, document: str, budget: int, unit: Unit | None = None, span: tuple[int, int] | None = None
    ) -> OcclusionPlan:
        """Choose the smallest parts that the budget allows.

        Args:
            query: The question.
            document: The text.
            budget: Texts that may be scored, at least 2.
            unit: "word" or "sentence". None: words if the budget allows one text for each, else sentences.
            span: The part of the document that is explained. None: all of it.

        Raises:
            InputError: A budget below 2, or another unit.

        >>> OcclusionPlan.make("python snake", "Ball python care guide", budget=100).pairs
        15
        """
        whole_number("budget", budget, 2)
        if unit not in (None, "word", "sentence"):
            raise InputError(f"unit is 'word', 'sentence' or None, not {unit!r}")
        start, end = span or (0, len(document))
        words = _spoken(find_words(document, start, end))
        sentences = [Part(sentence.start, sentence.end) for sentence in find_sentences(document, start, end)]
        by_words = unit == "word" or (unit is None and (len(words) < budget or len(sentences) < 2))
        chosen, name = (words, "words") if by_words else (sentences, "sentences")
        if len(chosen) >= budget:
            chosen, name = _grouped(chosen, budget - 1), f"groups of {name}"
        asked = 1 + len(chosen)
        query_words = _spoken(find_words(query))
        if len(query_words) < 2 or asked * (1 + len(query_words)) > budget:
            query_words = []
        return cls(tuple(chosen), name, tuple(query_words), asked * (1 + len(query_words)))


def explain_by_occlusion(
    scorer: Scorer, query: str, document: str, *, budget: int, unit: Unit | None = None
) -> Explanation:
    """Return how the score falls without each word or sentence, in as many texts as `OcclusionPlan.make` says.

    A pair of words contributes what leaving out the document's word costs less once the query's word is left out too.

    Raises:
        InputError: A budget below 3, or another unit.
        ScorerError: The scorer failed.
    """
    whole_number("budget", budget, 3, unit="text")
    span: Span | None = None
    scored = 0
    if ScorerTraits.of(scorer).long_documents is not None:  # then it says which part of a long text it has read
        (first,) = _score(scorer, [Request(query, [document])])
        span = first.spans.get(0)
        scored = 0 if span is None else 1
    start, end = (0, len(document)) if span is None else (span.start, span.end)
    plan = OcclusionPlan.make(query, document, budget - scored, unit, (start, end))
    # Of a long document only the part that was read is asked for again, so that nothing else moves into it.
    texts = [document[start:end], *(_without(document, part, start, end) for part in plan.parts)]
    unique = list(dict.fromkeys(texts))
    queries = [query, *(_without(query, part, 0, len(query)) for part in plan.query_parts)]
    answers = _score(scorer, [Request(asked, unique) for asked in dict.fromkeys(queries)])
    values = dict(zip(dict.fromkeys(queries), (np.array(answer.values) for answer in answers), strict=True))
    places = [unique.index(text) for text in texts]
    falls = {asked: (scores[places[0]] - scores[places])[1:] for asked, scores in values.items()}
    words = find_words(document, start, end)
    query_words = find_words(query)
    return Explanation(
        query=query,
        document=document,
        score=float(values[query][places[0]]),
        scale=answers[0].scale or scorer.scale,
        model=answers[0].model or scorer.name,
        method=f"occlusion of {plan.unit}",
        query_words=tuple(query_words),
        document_words=tuple(words),
        contributions=_by_word(words, plan.parts, falls[query]),
        matrix=_matrix(query_words, words, plan, [falls[query] - falls[asked] for asked in queries[1:]]),
        parts={},
        span=None if span is None else (start, end),
        truncated=span is not None and span.truncated,
        pairs_scored=scored + len(unique) * len(values),
    )


def without_words(text: str, words: Iterable[Word], span: tuple[int, int]) -> str:
    """Return the part of a text that a span says, without some of its words."""
    start, end = span
    left = text[:end]
    for word in sorted(words, key=lambda word: -word.start):  # from the end, so that the other places stay right
        left = _without(left, Part(word.start, word.end), 0, len(left))
    return left[start:]


def _score(scorer: Scorer, requests: Sequence[Request]) -> list[Scores]:
    return [
        check_scores(scorer, Scores(tuple(answer)) if not isinstance(answer, Scores) else answer, range(len(texts)))
        for answer, (_, texts) in zip(score_many(scorer, requests), requests, strict=True)
    ]


def _spoken(words: Sequence[Word]) -> list[Part]:
    return [Part(word.start, word.end) for word in words if word.is_spoken]


def _grouped(parts: Sequence[Part], groups: int) -> list[Part]:
    """Return neighbours joined to so many parts, of about the same number of parts each."""
    edges = np.linspace(0, len(parts), groups + 1).astype(int).tolist()
    return [Part(parts[first].start, parts[last - 1].end) for first, last in pairwise(edges)]


def _without(text: str, part: Part, start: int, end: int) -> str:
    """Return text[start:end] without a part, and without a space that would stand before another, or a comma."""
    before, after = text[start : part.start], text[part.end : end]
    if not before:
        return after.lstrip()
    if before[-1].isspace() and (after[:1].isspace() or after[:1] in CLOSING):
        before = before[:-1]
    return before + after


def _by_word(words: Sequence[Word], parts: Sequence[Part], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of parts, shared out equally among the words in each, (words,)."""
    contributions = np.zeros(len(words))
    starts = np.array([word.start for word in words])
    for part, value in zip(parts, values.tolist(), strict=True):
        first, last = int(starts.searchsorted(part.start)), int(starts.searchsorted(part.end))
        spoken = [index for index in range(first, last) if words[index].is_spoken] or list(range(first, last))
        if spoken:
            contributions[spoken] = value / len(spoken)
    return contributions


def _matrix(
    query_words: Sequence[Word], words: Sequence[Word], plan: OcclusionPlan, differences: list[NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    if not plan.query_parts:
        return None
    rows = {
        part.start: _by_word(words, plan.parts, row) for part, row in zip(plan.query_parts, differences, strict=True)
    }
    nothing = np.zeros(len(words))
    return np.stack([rows.get(word.start, nothing) for word in query_words])
