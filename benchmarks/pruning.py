"""Pruning: how many answers are left against how much text is gone, beside first sentences and BM25's best ones.

    python benchmarks/pruning.py xquad.en.json covidqa.json DATA/trecqa FAIRYTALES/data-by-train-split
    python benchmarks/pruning.py covidqa.json --whole --queries 100

What it reads: a file in SQuAD's format (XQuAD's English part is 240 paragraphs of SQuAD's development set; COVID-QA);
the folder of FairytaleQA with `questions` and `section-stories`, of which it takes questions whose answer stands in the
text word for word; and a collection of judged sentences (TREC QA), where the sentences of a question are one passage.

A file's texts that are longer than 2,000 characters are cut to the part of that length around the answer; `--whole`
takes them whole, up to 40,000 characters. An answer is left if nine tenths of its characters are, of any of the
question's answers. "Removed" is the mean share of a text's characters. The first n sentences, and BM25's best ones, are
as many as make the same share. "Best sentence" is the share of questions whose answer is in the first of
`hit.evidence`. Any machine gives the same figures.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from resift import Reranker
from resift.evaluation.bm25 import bm25_index
from resift.evaluation.collection import read_collection
from resift.text.normal import normalise_all
from resift.text.sentences import find_sentences

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
LONG, WHOLE = 2_000, 40_000
LEFT = 0.9  # of an answer's characters
Spans = Sequence[tuple[int, int]]


class Question(NamedTuple):
    query: str
    text: str
    answers: Spans


def main(
    sources: Annotated[list[Path], typer.Argument(help="Files and folders with questions and answers.")],
    model: Annotated[str | None, typer.Option("--model")] = None,
    queries: Annotated[int, typer.Option("--queries", help="Of each source, at most, at random.")] = 200,
    whole: Annotated[bool, typer.Option("--whole", help="Take long texts whole.")] = False,
) -> None:
    """Print a table for each source."""
    reranker = Reranker(model, cache=":memory:")
    for source in sources:
        questions = list(read(source, WHOLE if whole else LONG))
        random.Random(7).shuffle(questions)
        show(source.stem if source.is_file() else source.name, reranker, questions[:queries])


def show(name: str, reranker: Reranker, questions: Sequence[Question]) -> None:
    sentences = [[(start, end) for start, end, _ in find_sentences(each.text)] for each in questions]
    characters = np.mean([len(each.text) for each in questions])
    best = [reranker.rank(each.query, [each.text], evidence=1)[0].evidence[0] for each in questions]
    hits = np.mean([is_left(each, [(one.start, one.end)]) for each, one in zip(questions, best, strict=True)])
    first = np.mean([is_left(each, places[:1]) for each, places in zip(questions, sentences, strict=True)])
    typer.echo(
        f"\n{name}: {len(questions)} questions, {characters:.0f} characters and "
        f"{np.mean([len(places) for places in sentences]):.1f} sentences a text; "
        f"the answer is in the best sentence of {hits:.1%}, in the first of {first:.1%}\n"
    )
    typer.echo("| `prune=` | removed | answers left | BM25's best | first sentences |\n|---|---|---|---|---|")
    by_words = [word_order(each, places) for each, places in zip(questions, sentences, strict=True)]
    by_place = [list(range(len(places))) for places in sentences]
    for threshold in THRESHOLDS:
        pruned = [reranker.rank(each.query, [each.text], prune=threshold)[0].pruned for each in questions]
        spans = [[] if one is None else one.spans for one in pruned]
        removed = np.mean([1 - length(kept) / len(each.text) for kept, each in zip(spans, questions, strict=True)])
        left = [is_left(each, kept) for each, kept in zip(questions, spans, strict=True)]
        others = [
            np.mean([is_left(*taken) for taken in zip(questions, take(order, sentences, 1 - removed), strict=True)])
            for order in (by_words, by_place)
        ]
        typer.echo(f"| {threshold} | {removed:.1%} | {np.mean(left):.1%} | {others[0]:.1%} | {others[1]:.1%} |")


def word_order(question: Question, places: Spans) -> list[int]:
    """Return the sentences, those with most of the query's words first."""
    texts = normalise_all(question.text[start:end] for start, end in places)
    index = bm25_index([*texts, "nothing"])  # BM25 wants a word
    words = [word for word in question.query.lower().replace("?", " ").split() if word in index.vocab_dict]
    scores = index.get_scores(words)[: len(places)] if words else np.zeros(len(places))
    return np.argsort(-scores, kind="stable").tolist()


def take(orders: Sequence[Sequence[int]], sentences: Sequence[Spans], share: float) -> list[Spans]:
    """Return the first sentences of each order: those nearest to the share of all characters, at least one."""
    taken = []
    for order, places in zip(orders, sentences, strict=True):
        sums = np.cumsum([places[index][1] - places[index][0] for index in order])
        count = 1 + int(np.abs(sums - share * sums[-1]).argmin())
        taken.append([places[index] for index in order[:count]])
    return taken


def is_left(question: Question, kept: Spans) -> bool:
    return any(
        sum(max(0, min(end, stop) - max(start, first)) for first, stop in kept) >= LEFT * (end - start)
        for start, end in question.answers
    )


def length(spans: Spans) -> int:
    return sum(end - start for start, end in spans)


def read(source: Path, most: int) -> Iterator[Question]:
    if source.is_file():
        return squad(source, most)
    return fairytales(source) if (source / "questions").is_dir() else pools(source)


def squad(file: Path, most: int) -> Iterator[Question]:
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for row in paragraph["qas"]:
                spans = [(each["answer_start"], each["answer_start"] + len(each["text"])) for each in row["answers"]]
                text, spans = cut(paragraph["context"], spans, most)
                if spans:
                    yield Question(row["question"], text, spans)


def cut(text: str, answers: Spans, most: int) -> tuple[str, Spans]:
    """Return the part of a text, of a fixed grid, that the first answer begins in, and the answers that lie in it."""
    if not answers or len(text) <= most:
        return text, answers
    first = answers[0][0] // most * most
    first = text.rfind(" ", 0, first) + 1 if first else 0
    stop = text.find(" ", first + most)
    stop = len(text) if stop < 0 else stop
    return text[first:stop], [(a - first, b - first) for a, b in answers if first <= a and b <= stop]


def fairytales(folder: Path) -> Iterator[Question]:
    for file in sorted((folder / "questions").rglob("*-questions.csv")):
        story = next((folder / "section-stories").rglob(file.name.replace("-questions", "-story")))
        with story.open(encoding="utf-8", newline="") as rows:
            sections = {row["section"]: " ".join(row["text"].split()) for row in csv.DictReader(rows)}
        with file.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows):
                text = sections.get(row["cor_section"], "")
                answers = [row[f"answer{number}"].strip(" .") for number in range(1, 7)]
                places = [(text.lower().find(answer.lower()), len(answer)) for answer in answers if answer]
                spans = [(start, start + size) for start, size in places if start >= 0]
                if spans:
                    yield Question(row["question"], text, spans)


def pools(folder: Path) -> Iterator[Question]:
    collection = read_collection(folder)
    for query, judged in collection.qrels.items():
        text, answers = "", []
        listed = list(judged.items())
        random.Random(query).shuffle(listed)  # some list the relevant ones first
        for document, grade in listed:
            start = len(text)
            text += collection.documents[document] + " "
            answers += [(start, len(text) - 1)] if grade > 0 else []
        if answers:
            yield Question(collection.queries[query], text.strip(), answers)


if __name__ == "__main__":
    typer.run(main)
