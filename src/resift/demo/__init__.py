"""The small collection in the package: Aesop's fables, and questions that they answer. See SOURCE.md."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from resift._util.jsonl import read_rows
from resift.search.two_stage import Passage

FABLES_FILE = Path(__file__).parent / "fables.jsonl"


class Question(NamedTuple):
    """A question, and the title of the fable that answers it."""

    text: str
    answer: str


QUESTIONS = (
    Question("who pretended the grapes were sour because he could not reach them?", "The Fox and the Grapes"),
    Question("why should you not cry for help when nothing is wrong?", "The Shepherd's Boy and the Wolf"),
    Question("does gentleness work better than force?", "The North Wind and the Sun"),
    Question("a father teaches his sons that unity is strength", "The Father and His Sons"),
    Question("why did the goose that laid golden eggs die?", "The Hen and the Golden Eggs"),
)
"""Picked by hand: they show what reranking does, but measure nothing."""

AMBIGUOUS = Question("python snake", "Ball python care guide")
"""A query with two meanings: both documents share a word with it, one of them shares its meaning."""
AMBIGUOUS_DOCUMENTS = ("Python programming tutorial", AMBIGUOUS.answer)


def fables() -> list[Passage]:
    """Return 176 of Aesop's fables, in a fixed order.

    Returns:
        A passage per fable. Its text is the title, an empty line and the fable; its id is made of the title, which
        is in the metadata, too.

    >>> fables()[0].metadata["title"]
    'The Wolf and the Lamb'
    """
    return [
        Passage(f"{row['title']}\n\n{row['text']}", row["id"], {"title": row["title"]})
        for _, row in read_rows(FABLES_FILE)
    ]
