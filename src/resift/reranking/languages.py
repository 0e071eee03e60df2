"""What is said where a model that reads English alone gets texts in another language."""

from __future__ import annotations

from resift.reranking.ranking import Stats

NOT_ENGLISH = (
    "most of these texts are plainly not English, and the model reads English only: their order may be worse than the "
    "first stage's. Take resift:multilingual (pip install 'resift[multilingual]'), or keep the first stage's order "
    "(stats.not_english counts such texts)."
)
"""Without numbers: Python shows a warning once per line and text."""


def mostly_not_english(*stats: Stats) -> bool:
    """Return whether at least half of the texts of these rankings are plainly not English, for a model that must know.

    >>> mostly_not_english(Stats(documents=4, not_english=2)), mostly_not_english(Stats(documents=4, not_english=1))
    (True, False)
    """
    found = sum(each.not_english for each in stats)
    return found > 0 and 2 * found >= sum(each.documents for each in stats)
