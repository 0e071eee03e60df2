"""The small collection that travels in the package: Aesop's fables, and questions to ask of them. See SOURCE.md."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from resift._util.jsonl import read_rows
from resift.search.two_stage import Passage

FABLES_FILE = Path(__file__).parent / "fables.jsonl"


class Question(NamedTuple):
    """A question, and the title of the fable that a person would answer with."""

    text: str
    answer: str


QUESTIONS = (
    Question("who pretended the grapes were sour because he could not reach them?", "The Fox and the Grapes"),
    Question("why should you not cry for help when nothing is wrong?", "The Shepherd's Boy and the Wolf"),
    Question("does gentleness work better than force?", "The North Wind and the Sun"),
    Question("a father teaches his sons that unity is strength", "The Father and His Sons"),
    Question("why did the goose that laid golden eggs die?", "The Hen and the Golden Eggs"),
)
"""Picked by hand: they show what reranking does, and measure nothing."""

AMBIGUOUS = Question("python snake", "Ball python care guide")
"""The classic: both documents share a word with the query, one of them shares its meaning."""
AMBIGUOUS_DOCUMENTS = ("Python programming tutorial", AMBIGUOUS.answer)


def fables() -> list[Passage]:
    """176 of Aesop's fables, a passage each: its title, an empty line, its text.

    >>> fables()[0].metadata["title"]
    'The Wolf and the Lamb'
    """
    return [
        Passage(f"{row['title']}\n\n{row['text']}", row["id"], {"title": row["title"]})
        for _, row in read_rows(FABLES_FILE)
    ]
