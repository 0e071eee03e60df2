"""Counts the work of a ranking instead of timing it: tokens computed over tokens needed, batches, graph nodes.

    python benchmarks/work.py --model resift:small --model FOLDER

Counts don't depend on the machine or on other load: a change that costs work shows here at once.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import onnx
import typer
from onnxruntime import InferenceSession, SessionOptions

from resift import Reranker
from resift.models.bundled import BUNDLED, bundled_folder
from workload import LENGTHS, QUERY, passages

COUNTS = (10, 100, 300)


def main(
    model: Annotated[list[str], typer.Option("--model", help="Bundled name or exported folder.")],
    batch_tokens: Annotated[list[int] | None, typer.Option("--batch-tokens", help="Token budgets.")] = None,
) -> None:
    """Print the counts of rankings and of graphs."""
    typer.echo("| model | passages | candidates | budget | batches | tokens | computed / needed |")
    typer.echo("|---|---|---|---|---|---|---|")
    for name in model:
        for budget in batch_tokens or [2048]:
            reranker = Reranker(name, batch_tokens=budget, long_documents="first_window")
            for length in LENGTHS:
                for count in COUNTS:
                    stats = reranker.rank(QUERY, passages(count, length)).stats
                    ratio = stats.padded_tokens / stats.tokens
                    cells = (name, length, count, budget, stats.batches, stats.tokens, f"{ratio:.3f}")
                    typer.echo("| " + " | ".join(map(str, cells)) + " |")
    typer.echo("\n| graph | nodes as exported | nodes as run | of them |\n|---|---|---|---|")
    for name in model:
        folder = bundled_folder(name.removeprefix("resift:")) if name.removeprefix("resift:") in BUNDLED else Path(name)
        for graph in sorted(folder.glob("*.onnx")):
            exported, run = count_nodes(graph, optimised=False), count_nodes(graph, optimised=True)
            common = ", ".join(f"{count} {kind}" for kind, count in run.most_common(6))
            typer.echo(f"| {name}/{graph.name} | {exported.total()} | {run.total()} | {common} |")


def count_nodes(path: Path, *, optimised: bool) -> Counter[str]:
    """Return how often each operator occurs in a graph, as exported or after ONNX Runtime's own optimisation."""
    if not optimised:
        return Counter(node.op_type for node in onnx.load(path).graph.node)
    with tempfile.TemporaryDirectory() as folder:
        options = SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.log_severity_level = 3
        InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


if __name__ == "__main__":
    typer.run(main)
