"""Questions for a corpus that came without any: a document's title asks for its text, a sentence for its passage."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resift._util.jsonl import read_rows
from resift.errors import InputError
from resift.training.pairs import TrainingPair

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")
WORDS = range(5, 41)  # of a sentence that can stand for a question: shorter says nothing, longer is a paragraph
LEFT = 8  # words of a passage, at least, once its sentence was taken out
TAKEN_OUT = 0.7  # share of sentences cut out of their passage: asked for by meaning; the rest by their very words


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A row of a `corpus.jsonl`."""

    id: str
    title: str
    text: str

    @property
    def passage(self) -> str:
        """Title and text, as the collection reader of `resift.evaluation` joins them."""
        return " ".join(part for part in (self.title, self.text) if part)


def read_corpus(file: Path) -> list[CorpusDocument]:
    """The documents of a `corpus.jsonl`, plain or gzipped. Raises InputError, naming file and line."""
    found: dict[str, CorpusDocument] = {}
    for where, row in read_rows(file):
        if "_id" not in row:
            raise InputError(f"{where}: no _id; a row is {{'_id': ..., 'title': ..., 'text': ...}}")
        one = CorpusDocument(str(row["_id"]), str(row.get("title") or "").strip(), str(row.get("text") or "").strip())
        if one.id in found:
            raise InputError(f"{where}: id {one.id!r} comes twice")
        if not one.passage:
            raise InputError(f"{where}: {one.id!r} has no text")
        found[one.id] = one
    if not found:
        raise InputError(f"{file}: no document to learn from")
    return list(found.values())


def make_pairs(documents: Sequence[CorpusDocument], *, seed: int, sentences: int = 2) -> list[TrainingPair]:
    """Pairs of each document: its title, and at most so many of its sentences, as queries.

    Most sentences are cut out of the passage that answers them, so that meaning counts and not their very words. A
    document's pairs depend on the seed and on itself alone. Raises InputError where no document gives any.

    >>> make_pairs([CorpusDocument("1", "The Fox", "A fox saw grapes. He left.")], seed=7)[0].query
    'The Fox'
    """
    pairs: dict[TrainingPair, None] = {}
    for document in documents:
        draw = random.Random(f"{seed}:{document.id}")  # noqa: S311 - a choice of examples, nothing secret
        if document.title and document.text:
            pairs.setdefault(TrainingPair(document.title, document.text, group=document.id))
        for pair in _sentence_pairs(document, sentences, draw):
            pairs.setdefault(pair)
    if not pairs:
        raise InputError(
            "no document has a title beside its text, or a sentence of "
            f"{WORDS.start} to {WORDS.stop - 1} words beside others: nothing to make questions of"
        )
    return list(pairs)


def _sentence_pairs(document: CorpusDocument, wanted: int, draw: random.Random) -> Iterator[TrainingPair]:
    parts = SENTENCE_END.split(document.text)
    fit = [place for place, part in enumerate(parts) if len(part.split()) in WORDS]
    for place in sorted(draw.sample(fit, min(wanted, len(fit)))):
        rest = " ".join(part for other, part in enumerate(parts) if other != place)
        if len(rest.split()) < LEFT:
            continue  # little is left to find it by
        answer = rest if draw.random() < TAKEN_OUT else document.text
        yield TrainingPair(parts[place], f"{document.title} {answer}".strip(), group=document.id)
