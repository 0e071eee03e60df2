"""What a calibration is worth on questions that it was not fitted on.

    python benchmarks/calibrations.py FOLDER... [--depth 20] [--queries 200]

Of each judged collection, every other question is fitted on, and the rest is measured: the calibration error (how far
the promised relevance is from the share of relevant candidates, on average) before and after. The models are a
bundled cross-encoder, whose relevance is calibrated already, on other collections, and a bi-encoder's cosine, which has
no relevance of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from resift import Reranker, Scale, StaticEmbedder
from resift.evaluation import Collection, fit_calibration, measure_thresholds, read_collection


class Cosine:
    """The cosine of the bundled bi-encoder's vectors."""

    name, scale = "cosine of resift:static", Scale.SIMILARITY

    def __init__(self) -> None:
        self.embedder = StaticEmbedder()

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        vectors = self.embedder.embed([query, *documents])
        return [float(value) for value in vectors[1:] @ vectors[0]]


def halves(collection: Collection, limit: int) -> list[Collection]:
    ids = list(collection.queries)[:limit]
    return [
        replace(
            collection,
            queries={id: collection.queries[id] for id in ids[start::2]},
            qrels={id: collection.qrels[id] for id in ids[start::2]},
        )
        for start in (0, 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    models = {"resift:tiny": Reranker("resift:tiny"), Cosine.name: Reranker(Cosine())}
    typer.echo("| collection | model | questions | error before | after | precision, recall at 0.5 |")
    typer.echo("|---|---|---|---|---|---|")
    for folder in options.folders:
        fitted_on, others = halves(read_collection(folder), options.queries)
        for name, reranker in models.items():
            calibration = fit_calibration(fitted_on, reranker, depth=options.depth)
            before = "-"
            if reranker.scorer.scale.has_relevance:
                before = f"{measure_thresholds(others, reranker, depth=options.depth).error:.3f}"
            calibrated = Reranker(reranker.scorer, calibration=calibration)
            report = measure_thresholds(others, calibrated, depth=options.depth)
            cut = next(cut for cut in report.cuts if cut.min_relevance == 0.5)
            figures = f"{report.error:.3f} | {cut.precision:.2f}, {cut.recall:.2f}"
            typer.echo(f"| {folder.name} | {name} | {report.queries} | {before} | {figures} |")


if __name__ == "__main__":
    main()
