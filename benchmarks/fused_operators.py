"""Time of exported graphs beside the same graphs with the operators of ONNX Runtime's own transformer optimizer.

    python benchmarks/fused_operators.py

The graphs are a cross-encoder and the encoder of a split network, both of MiniLM-L6's shape with random weights: the
time doesn't depend on the values. Both forms of a graph take turns, on one thread, and the time is the processor's, so
that other load on the machine matters little. The figures depend on the version of onnxruntime more than on anything
else: run it for each version that matters.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

from report import environment
from resift.export.pair import export_model
from resift.export.precision import quantize
from resift.export.split import export_split
from resift.models.manifest import ENCODER, Manifest
from resift.networks.split import SplitModule
from workload import build_model

HEADS, WIDTH = 12, 384
ROWS, TOKENS = 16, 128  # of a batch, whose rows are a quarter of this to all of it
PRECISIONS = ("float32", "int8-dynamic")


def main(rounds: Annotated[int, typer.Option(help="Timed rounds of each pair of graphs.")] = 25) -> None:
    """Print the optimizer's time over the plain graph's, for each graph and precision."""
    typer.echo(f"onnxruntime {environment()['versions']['onnxruntime']}")
    typer.echo("| graph | precision | optimizer / plain, median (quartiles) | largest difference | fused operators |")
    typer.echo("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, graph in export_graphs(Path(folder)).items():
            for precision in PRECISIONS:
                plain, fused = (graph.with_name(f"{name}-{precision}-{form}.onnx") for form in ("plain", "fused"))
                onnx.save(onnx.load(graph), plain)
                optimize(graph, fused)
                for path in (plain, fused):
                    quantize(path, precision)
                typer.echo(f"| {name} | {precision} | {compare(plain, fused, rounds)} | {list_fused(fused)} |")


def export_graphs(folder: Path) -> dict[str, Path]:
    """Return a cross-encoder's graph and a split network's encoder, as exported in float32."""
    model = build_model(folder / "model")
    export_model(str(model), folder / "pair")
    network = SplitModule.load(model, separate=4)
    export_split(
        network, model / "tokenizer.json", folder / "split", Manifest("split", "split", document_length=TOKENS)
    )
    return {"cross-encoder": folder / "pair" / "model.onnx", "split encoder": folder / "split" / ENCODER}


def optimize(graph: Path, fused: Path) -> None:
    """Write the graph with ONNX Runtime's fused operators, GELU as exact as in the plain one."""
    options = FusionOptions("bert")
    options.use_multi_head_attention = True  # keeps the products apart, which `int8-dynamic` makes of 8-bit numbers
    optimized = optimize_model(
        str(graph), "bert", num_heads=HEADS, hidden_size=WIDTH, optimization_options=options, opt_level=0
    )
    optimized.save_model_to_file(str(fused))


def compare(plain: Path, fused: Path, rounds: int) -> str:
    """Return the ratio of the processor's times and the largest difference of an output, as cells of a table."""
    sessions = [open_session(path) for path in (plain, fused)]
    inputs = [make_inputs(session) for session in sessions]
    expected, outputs = (session.run(None, batch) for session, batch in zip(sessions, inputs, strict=True))
    difference = max(float(np.abs(one - other).max()) for one, other in zip(expected, outputs, strict=True))
    ratios = []
    for _ in range(rounds):
        seconds = [0.0, 0.0]
        for form in random.sample((0, 1), 2):
            started = time.process_time()
            sessions[form].run(None, inputs[form])
            seconds[form] = time.process_time() - started
        ratios.append(seconds[1] / seconds[0])
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.2f} ({low:.2f} to {high:.2f}) | {difference:.1e}"


def open_session(path: Path) -> InferenceSession:
    """Open a graph for one thread."""
    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def make_inputs(session: InferenceSession) -> dict[str, Any]:
    """Return a batch of rows of unequal length, the same for every session."""
    generator = np.random.default_rng(7)
    lengths = generator.integers(TOKENS // 4, TOKENS, ROWS, endpoint=True)
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int64)
    values = {
        "input_ids": mask * generator.integers(1000, 20_000, mask.shape),
        "attention_mask": mask,
        "token_type_ids": np.zeros_like(mask),
    }
    return {argument.name: values[argument.name] for argument in session.get_inputs()}


def list_fused(path: Path) -> str:
    """Return the operators of a graph that are ONNX Runtime's own, with their numbers."""
    kinds = Counter(node.op_type for node in onnx.load(path).graph.node if node.domain)
    return ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())


if __name__ == "__main__":
    typer.run(main)
