"""Whether an explanation is right: a score must fall more without the words that it names than without others."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from resift.explanation.explanation import Explanation
from resift.explanation.occlusion import without_words
from resift.scorer import Request, Scorer, as_scores, score_many

RANDOM = "random words"
DRAWS = 5


def falls_without(
    scorer: Scorer,
    explanation: Explanation,
    orders: Mapping[str, Sequence[int]],
    counts: Sequence[int] = (1, 3, 5),
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Return by how much the score falls without the first words of each order, and without as many random ones.

    Args:
        scorer: Who scores; all texts in one call.
        explanation: Says query, document, and what was read of it.
        orders: Name → indices into `explanation.document_words`, the word that should matter most first.
        counts: How many words are taken out at a time.
        draws: Random choices, of which the mean is returned, as "random words".
        seed: Of the random choices.

    Returns:
        Name → a fall for each count.

    Raises:
        ScorerError: The scorer failed.
    """
    spoken = [index for index, word in enumerate(explanation.document_words) if word.is_spoken]
    generator = random.Random(seed)  # noqa: S311 - a sample, no secret
    taken = [order[:count] for order in orders.values() for count in counts]
    taken += [generator.sample(spoken, min(count, len(spoken))) for _ in range(draws) for count in counts]
    span = explanation.span or (0, len(explanation.document))
    words = [[explanation.document_words[index] for index in indices] for indices in taken]
    texts = [without_words(explanation.document, chosen, span) for chosen in ([], *words)]
    (answer,) = score_many(scorer, [Request(explanation.query, texts)])
    scores = np.array(as_scores(scorer, answer, len(texts)).values)
    falls = (scores[0] - scores[1:]).reshape(-1, len(counts))
    named = {name: falls[row].tolist() for row, name in enumerate(orders)}
    return {**named, RANDOM: falls[len(orders) :].mean(0).tolist()}


def order_of(explanation: Explanation, values: Sequence[float] | np.ndarray | None = None) -> list[int]:
    """Return the indices of the document's words, those with the greatest values first; punctuation is left out.

    `values` are one per word. None: the explanation's own contributions.
    """
    ranked = explanation.contributions if values is None else np.asarray(values)
    spoken = [index for index, word in enumerate(explanation.document_words) if word.is_spoken]
    return sorted(spoken, key=lambda index: -ranked[index])
