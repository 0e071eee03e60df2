"""What `resift train` gains on questions of its own domain and what it changes elsewhere, as in docs/training.md.

    python benchmarks/training.py DATA WORK --domain docs-win32 --pairs 300 --pairs 3000 --pairs 30000 \
        --setting none:1 --setting default --elsewhere trec-dl19-pool --elsewhere fairytaleqa

DATA holds train/ (NAME.jsonl.gz: rows of query, positive and group) and dev/ (judged collections). A fifth of a
domain's groups is held out: its passages and questions are a collection of their own, whose first stage is BM25. The
training pairs are drawn from the other groups, the smaller sizes from the larger ones. A setting is TEACHER:BLEND, or
`default`; everything else is as `resift train` chooses it.

Models and figures are kept in WORK. A run that was stopped goes on there, and the table is made of all figures in it.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from judged import Judged
from report import show
from resift import Reranker
from resift.evaluation import Collection, compare, evaluate
from resift.export.restore import read_network
from resift.export.split import export_split
from resift.models.bundled import bundled_folder
from resift.models.manifest import MANIFEST_FILE, Manifest
from resift.training import Recipe, TrainingPair, read_pairs, train_reranker

SEED = 7
START = "resift:small"
METRIC = "nDCG@10"
HOME = "its own domain"


def split(name: str, pairs: Sequence[TrainingPair], queries: int) -> tuple[list[TrainingPair], Collection]:
    """Return the pairs to learn from, in an order by chance, and a collection of the groups that are held out."""
    draw = random.Random(SEED)
    groups = sorted({pair.group for pair in pairs})
    held_out = set(draw.sample(groups, len(groups) // 5))
    learned = [pair for pair in pairs if pair.group not in held_out]
    known = {pair.query for pair in learned}
    asked: dict[str, dict[str, int]] = {}
    passages = {pair.positive: f"d{row}" for row, pair in enumerate(pairs) if pair.group in held_out}
    for pair in pairs:
        if pair.group in held_out and pair.query not in known:
            asked.setdefault(pair.query, {})[passages[pair.positive]] = 1
    chosen = draw.sample(sorted(asked), min(queries, len(asked)))
    documents = {id: text for text, id in passages.items()}
    ids = {f"q{row}": query for row, query in enumerate(chosen)}
    collection = Collection(name, documents, ids, {id: asked[query] for id, query in ids.items()})
    return draw.sample(learned, len(learned)), collection


class Figures:
    """The nDCG@10 of every query, kept in a file: model → collection → query → figure."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def of(self, model: str, collection: str) -> dict[str, float] | None:
        """Return the figures of a model on a collection; None where there are none."""
        for row in self.rows:
            if (row["model"], row["collection"]) == (model, collection):
                return dict(row["figures"])
        return None

    def add(self, model: str, collection: str, figures: Mapping[str, float], minutes: float) -> None:
        """Keep the figures of a model, and the processor minutes of its training."""
        row = {"model": model, "collection": collection, "figures": dict(figures), "minutes": minutes}
        self.rows.append(row)
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")


def export_start(folder: Path) -> None:
    """Export the bundled model as training does: so its states of documents are those of all trained models."""
    bundled = bundled_folder(START.removeprefix("resift:"))
    export_split(read_network(bundled), bundled / "tokenizer.json", folder, Manifest.read(bundled))


def measure(
    model: str, folder: Path, tests: Mapping[str, tuple[Collection, str]], figures: Figures, limit: int, minutes: float
) -> None:
    """Measure a model on the collections that it was not measured on; states are shared with the other models."""
    reranker = Reranker(folder, states_file=figures.file.with_name("states.sqlite3"), long_documents="first_window")
    for name, (collection, stage) in tests.items():
        if figures.of(model, name) is None:
            report = evaluate(collection, {model: reranker}, stage=stage, limit=limit)
            first_stage, reranked = report.evaluations
            figures.add(model, name, reranked.per_query[METRIC], minutes)
            show(f"{model} | {name} | {first_stage.metrics[METRIC]:.3f} | {reranked.metrics[METRIC]:.3f}")


def table(figures: Figures) -> None:
    """Print a row for each trained model and collection."""
    show("\n| domain | pairs | teacher:blend | minutes | collection | queries | before | after | change, won/lost |")
    show("|---" * 9 + "|")
    for row in figures.rows:
        if row["model"] != START:
            before = {  # of the queries that both were measured on: another call may have taken more
                query: figure
                for query, figure in (figures.of(START, row["collection"]) or {}).items()
                if query in row["figures"]
            }
            found = compare(before, row["figures"])
            means = (sum(each[query] for query in before) / found.queries for each in (before, row["figures"]))
            cells = [f"{mean:.3f}".removeprefix("0") for mean in means]
            interval = f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}], {found.wins}/{found.losses}"
            names = " | ".join(row["model"].split(" "))
            collection = f"{row['collection']} | {found.queries}"
            show(f"| {names} | {row['minutes']:.1f} | {collection} | {' | '.join(cells)} | {interval} |")


def main(
    data: Annotated[Path, typer.Argument(help="Folder with train/ and dev/.")],
    work: Annotated[Path, typer.Argument(help="Where models and figures are kept.")],
    domain: Annotated[list[str], typer.Option("--domain", help="A file of train/.")],
    pairs: Annotated[list[int], typer.Option("--pairs", help="Sizes.")],
    setting: Annotated[list[str], typer.Option("--setting", help="default, or TEACHER:BLEND (none: labels alone).")],
    elsewhere: Annotated[list[str] | None, typer.Option("--elsewhere", help="Collections of dev/.")] = None,
    queries: Annotated[int, typer.Option("--queries", help="Of each collection.")] = 100,
    negatives: Annotated[int, typer.Option("--negatives")] = 7,
    max_length: Annotated[int, typer.Option("--max-length", help="Tokens of a text in training.")] = 128,
) -> None:
    """Train every size with every setting, measure all models, and print the table."""
    work.mkdir(parents=True, exist_ok=True)
    figures = Figures(work / "figures.jsonl")
    start = work / "start"
    if not (start / MANIFEST_FILE).is_file():
        export_start(start)
    others = {}
    for name in elsewhere or []:
        judged = Judged.read(data / "dev" / name)
        others[name] = (judged.collection, judged.stage)
    for name in domain:
        learned, own = split(name, read_pairs([data / "train" / f"{name}.jsonl.gz"]), 2 * queries)
        show(f"{name}: {len(learned):,} pairs to draw from, {len(own.documents):,} passages and questions held out")
        tests = {f"{HOME}: {name}": (own, "bm25")}
        measure(START, start, tests, figures, 2 * queries, 0.0)
        measure(START, start, others, figures, queries, 0.0)
        for size in pairs:
            for each in setting:
                teacher, _, blend = each.partition(":")
                model = f"{name} {size:,} {each}"
                if all(figures.of(model, test) is not None for test in (*tests, *others)):
                    continue
                # Another blend of the same run needs no training, so it has the same folder.
                folder = work / f"{name}-{size}-{teacher}"
                started = time.process_time()
                trained = train_reranker(
                    learned[:size],
                    folder,
                    Recipe(blend=float(blend) if blend else None, negatives=negatives, max_length=max_length),
                    teachers={"default": None, "none": []}.get(teacher, [teacher]),
                    log=show,
                )
                minutes = (time.process_time() - started) / 60
                show(f"{model}: {minutes:.1f} processor minutes; {trained.verdict}")
                measure(model, folder, tests, figures, 2 * queries, minutes)
                measure(model, folder, others, figures, queries, minutes)
    table(figures)


if __name__ == "__main__":
    typer.run(main)
