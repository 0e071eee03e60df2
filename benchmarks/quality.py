"""nDCG@10 of several models on a folder of judged collections, as a Markdown table for docs/models.md.

    python benchmarks/quality.py DATA --model resift:small --model FOLDER --bi-encoder FOLDER --queries 100

Every folder of DATA that holds a collection is measured. Its `candidates.jsonl` is the first stage; without it, BM25.
A star marks collections whose candidates are exactly the judged documents, so that their order means nothing.

Many lists share texts, so each text is encoded once and its states are kept, unrounded: the scores are those of a model
that keeps no states. It takes about 5 GB of memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from judged import Judged, folders
from resift import InputError, Reranker, Scale
from resift.engines.split import encoder
from resift.engines.split.states import DocumentState
from resift.evaluation import evaluate
from resift.scoring.load import load_scorer
from resift.training.teachers import dense_embed

STATES_BYTES = 2 << 30


class BiEncoder:
    """A sentence-transformers bi-encoder that reorders the same candidates: the baseline."""

    scale = Scale.SIMILARITY

    def __init__(self, folder: str) -> None:
        self.name = Path(folder).name
        self._embed = dense_embed(folder, tokens=256)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the cosine of the query's and each document's vector."""
        return [float(value) for value in self._embed(documents) @ self._embed([query])[0]]


def keep_unrounded(states: NDArray[np.float32], vector: NDArray[np.float32]) -> DocumentState:
    """Return a DocumentState with unrounded states, in place of `DocumentState.quantize`, which rounds them."""
    numbers: Any = states.copy()  # float32, where DocumentState declares int8
    return DocumentState(numbers, np.ones(len(states), np.float16), vector.copy())


def restore_unrounded(states: Sequence[DocumentState], tokens: int) -> NDArray[Any]:
    """Return the states of several texts, in place of `resift.engines.split.states.restore`."""
    return np.stack([np.pad(state.numbers, ((0, tokens - len(state.numbers)), (0, 0))) for state in states])


def load_reranker(model: str) -> Reranker:
    """Return a reranker that keeps document states, if the model has any."""
    try:
        scorer = load_scorer(model, long_documents="first_window", keep_states=STATES_BYTES)
    except InputError:  # it has no states: it encodes query and document together
        scorer = load_scorer(model, long_documents="first_window")
    return Reranker(scorer)


def main(
    data: Annotated[Path, typer.Argument(help="Folder of collections.")],
    model: Annotated[list[str] | None, typer.Option("--model")] = None,
    bi_encoder: Annotated[str | None, typer.Option("--bi-encoder")] = None,
    queries: Annotated[int, typer.Option("--queries")] = 100,
    only: Annotated[list[str] | None, typer.Option("--only", help="These collections.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="All figures, a JSON line per collection.")] = None,
) -> None:
    """Measure each collection and print its row at once."""
    encoder.restore = restore_unrounded
    setattr(DocumentState, "quantize", staticmethod(keep_unrounded))  # noqa: B010 - type checkers allow no plain assignment to a method
    rerankers = {name: load_reranker(name) for name in model or []}
    if bi_encoder is not None:
        rerankers["bi-encoder"] = Reranker(BiEncoder(bi_encoder))
    typer.echo("| collection | queries | first stage | " + " | ".join(rerankers) + " |")
    typer.echo("|---" * (3 + len(rerankers)) + "|")
    for folder in folders(data):
        if only and folder.name not in only:
            continue
        judged = Judged.read(folder)
        started = time.perf_counter()
        report = evaluate(judged.collection, rerankers, stage=judged.stage, limit=queries)
        first_stage, *reranked = report.evaluations
        star = "*" if judged.pool else ""
        cells = [f"{evaluation.metrics['nDCG@10']:.3f}".removeprefix("0") for evaluation in reranked]
        stage = "-" if star else f"{first_stage.metrics['nDCG@10']:.3f}".removeprefix("0")
        typer.echo(f"| {folder.name}{star} | {report.queries} | {stage} | " + " | ".join(cells) + " |")
        sys.stdout.flush()
        if out is not None:
            with out.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({**report.to_dict(), "seconds": time.perf_counter() - started}) + "\n")


if __name__ == "__main__":
    typer.run(main)
