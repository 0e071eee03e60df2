"""Faithfulness of explanations: how far a score falls without the words that they name, beside random words.

    python benchmarks/explanations.py DATA/squad-dev --queries 40
    python benchmarks/explanations.py DATA/med DATA/trec-dl19-pool --model cross-encoder/ms-marco-MiniLM-L6-v2

For each query the document judged best is explained in every way that the model allows, then scored again without 1, 3
and 5 words: those that the explanation names first, words that the query has too, and random ones (the mean of five
draws). Figures are falls of the score. "more than random" is the share of documents where the fall is greater than the
mean of the random ones. Any machine gives the same figures, but for the last line: the processor time of explaining
over that of ranking, one document after the other.
"""

from __future__ import annotations

import json
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from judged import Judged
from resift import InputError, Reranker
from resift.explanation.explanation import Explanation
from resift.explanation.faithfulness import RANDOM, falls_without, order_of
from resift.explanation.words import find_words

COUNTS = (1, 3, 5)
SAME_WORDS = "words of the query"
Falls = dict[str, list[list[float]]]


def main(
    folders: Annotated[list[Path], typer.Argument(help="Collections.")],
    model: Annotated[str | None, typer.Option("--model")] = None,
    queries: Annotated[int, typer.Option("--queries", help="Of each collection, evenly spread.")] = 40,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print mean falls of the score, a row for each way to choose words."""
    reranker = Reranker(model, long_documents="first_window")
    for folder in folders:
        falls = measure(reranker, folder, queries)
        if as_json:
            typer.echo(json.dumps({"collection": folder.name, "model": reranker.scorer.name, "falls": falls}))
            continue
        documents = len(next(iter(falls.values())))
        typer.echo(f"\n{folder.name}, {reranker.scorer.name}, {documents} documents\n")
        typer.echo(f"| without | {' | '.join(f'{count} words' for count in COUNTS)} | more than random |")
        typer.echo(f"|---|{'---|' * (len(COUNTS) + 1)}")
        chance = np.array(falls[RANDOM])
        for name, rows in sorted(falls.items(), key=lambda item: -float(np.mean(item[1]))):
            found = np.array(rows)
            more = "" if name == RANDOM else f"{(found.mean(1) > chance.mean(1)).mean():.0%}"
            typer.echo(f"| {name} | {' | '.join(f'{value:.2f}' for value in found.mean(0))} | {more} |")
        typer.echo(f"\nexplaining takes {measure_cost(reranker, folder):.1f} times as long as ranking one document")


def measure(reranker: Reranker, folder: Path, queries: int) -> Falls:
    """Return the falls of each document, by the way in which words were chosen."""
    collection = Judged.read(folder).collection
    judged = sorted(query for query, judgements in collection.qrels.items() if max(judgements.values(), default=0) > 0)
    step = max(1, len(judged) // queries)
    falls: Falls = {}
    for query in judged[::step][:queries]:
        judgements = collection.qrels[query]
        held = [name for name in judgements if name in collection.documents]
        if not held:
            continue
        document = collection.documents[max(held, key=judgements.__getitem__)]
        for name, row in _falls_of(reranker, collection.queries[query], document).items():
            falls.setdefault(name, []).append(row)
    return falls


def measure_cost(reranker: Reranker, folder: Path, queries: int = 20) -> float:
    """Return the processor time of explaining a document over that of ranking it alone; both with a new query."""
    collection = Judged.read(folder).collection
    ranking = explaining = 0.0
    for row, (query, judgements) in enumerate(list(collection.qrels.items())[: queries + 1]):
        document = next((collection.documents[name] for name in judgements if name in collection.documents), "nothing")
        started = time.process_time()
        reranker.rank(f"{collection.queries[query]} 1", [document])
        ranked = time.process_time()
        reranker.explain(f"{collection.queries[query]} 2", document)
        if row:  # the first opens the network once more
            ranking += ranked - started
            explaining += time.process_time() - ranked
    return explaining / ranking


def _falls_of(reranker: Reranker, query: str, document: str) -> dict[str, list[float]]:
    words = sum(word.is_spoken for word in find_words(document))
    budget = max(words + 2, 3)  # enough for every word, and not for every pair
    explanation = reranker.explain(query, document, unit="word", budget=budget)
    orders = {explanation.method: order_of(explanation)}
    if explanation.adds_up:
        occluded = reranker.explain(query, document, method="occlusion", unit="word", budget=budget)
        orders[occluded.method] = order_of(occluded)
        orders |= {f"part: {name}": order_of(explanation, values) for name, values in explanation.by_part.items()}
    else:
        for method in ("attention", "gradient"):
            with suppress(InputError):  # only cross-encoders that torch runs have them
                orders[method] = order_of(reranker.explain(query, document, method=method))
    orders[SAME_WORDS] = _same_words(explanation)
    return falls_without(reranker.scorer, explanation, orders, COUNTS)


def _same_words(explanation: Explanation) -> list[int]:
    """Return the words that the query has too, in random order, and behind them the others."""
    asked = {word.text.lower() for word in explanation.query_words if word.is_spoken}
    order = order_of(explanation)
    random.Random(0).shuffle(order)
    return sorted(order, key=lambda index: explanation.document_words[index].text.lower() not in asked)


if __name__ == "__main__":
    typer.run(main)
