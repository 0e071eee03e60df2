"""Questions for a corpus that came without any: a document's title asks for its text, a sentence for its passage."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resift.errors import InputError
from resift.evaluation.collection import LEFT_OUT, CorpusRow, read_corpus_rows
from resift.evaluation.notes import counted, tell
from resift.training.pairs import TrainingPair

SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")
WORDS = range(5, 41)  # of a sentence that can stand for a question: shorter says nothing, longer is a paragraph
MIN_WORDS_LEFT = 8  # of a passage, once its sentence was cut out
CUT_OUT = 0.7  # share of sentences cut out of their passage, which is then found by meaning; the others by their words


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A row of a `corpus.jsonl`.

    Args:
        id: What judgements name it by.
        title: May be empty.
        text: May be empty, where there is a title.

    """

    id: str
    title: str
    text: str

    @property
    def passage(self) -> str:
        """Title and text, joined as `resift.evaluation.read_collection` joins them."""
        return " ".join(part for part in (self.title, self.text) if part)


def read_corpus(file: Path) -> list[CorpusDocument]:
    """Read the documents of a corpus.

    Args:
        file: A `corpus.jsonl` with rows of `_id`, `title` and `text`, plain or gzipped (`.gz`).

    Returns:
        The documents in the order of the file.

    Raises:
        InputError: With file and line: no `_id`, an id that comes again with another text, a field that is no text,
            bytes that are not UTF-8, a line that is no JSON object; or no document with a text. One without is left
            out, and a line of the log says so.

    """
    documents: dict[str, CorpusDocument] = {}
    empty: list[CorpusRow] = []
    for row in read_corpus_rows(file):
        document = CorpusDocument(row.id, row.title, row.text)
        if documents.setdefault(row.id, document) != document:
            raise InputError(f"{row.where}: id {row.id!r} comes twice, with another text")
        if not row.passage:
            empty.append(row)
    if not documents:
        raise InputError(f"{file}: no document to learn from")
    if empty:
        ids = list(dict.fromkeys(row.id for row in empty))
        if len(ids) == len(documents):
            raise InputError(f"{empty[0].where}: {ids[0]!r} has no text, and no other document has one")
        tell(str(file), [counted(ids, "documents have no text", LEFT_OUT, of=len(documents))])
    return [document for document in documents.values() if document.passage]


def make_pairs(documents: Sequence[CorpusDocument], *, seed: int, sentences: int = 2) -> list[TrainingPair]:
    """Make pairs of documents without queries: a title asks for its text, a sentence for the passage it stood in.

    Most sentences are cut out of the passage that answers them, so that meaning counts and not their very words. A
    document's pairs depend on the seed and on itself alone.

    >>> make_pairs([CorpusDocument("1", "The Fox", "A fox saw grapes. He left.")], seed=7)[0].query
    'The Fox'

    Args:
        documents: As `read_corpus` returns them.
        seed: Of the choice of sentences.
        sentences: Of a document that become queries, at most.

    Returns:
        The pairs, each once, document by document.

    Raises:
        InputError: No document gives any.

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
    suitable = [index for index, part in enumerate(parts) if len(part.split()) in WORDS]
    for index in sorted(draw.sample(suitable, min(wanted, len(suitable)))):
        rest = " ".join(part for other, part in enumerate(parts) if other != index)
        if len(rest.split()) < MIN_WORDS_LEFT:
            continue  # too little is left to find it by
        answer = rest if draw.random() < CUT_OUT else document.text
        yield TrainingPair(parts[index], f"{document.title} {answer}".strip(), group=document.id)
