"""Every precision of one model, in turns: time, nDCG@10, and how far the scores move from float32.

onnxruntime's own dynamic quantisation of the same model is measured beside them.

    python benchmarks/precision.py MODEL DATA --queries 50

MODEL is a Hugging Face folder of a cross-encoder. DATA holds judged collections, one folder each (docs/evaluation.md).
`--budget 512 --budget 1024 ...` measures each precision with each of these token budgets of a batch.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from judged import Judged, folders
from report import environment
from resift import Reranker
from resift.evaluation import Collection, evaluate
from resift.export.pair import export_model
from resift.export.precision import PRECISIONS
from resift.models.manifest import Manifest


def main(
    model: Annotated[str, typer.Argument(help="Hugging Face folder.")],
    data: Annotated[Path, typer.Argument(help="Folder of collections.")],
    queries: Annotated[int, typer.Option(help="Queries of each collection.")] = 50,
    budget: Annotated[list[int] | None, typer.Option("--budget", help="Tokens in a batch.")] = None,
    openvino: Annotated[bool, typer.Option("--openvino", help="Also float32 and int8 through OpenVINO.")] = False,
    rounds: Annotated[int, typer.Option(help="Timed rounds over 20 queries.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Measure every precision on every collection and print a table."""
    with tempfile.TemporaryDirectory() as temporary:
        names: dict[str, str] = {}
        for precision in PRECISIONS:
            folder = Path(temporary) / precision
            export_model(model, folder, precision=precision)
            names[precision] = str(folder)
            if openvino and precision in ("float32", "int8"):
                names[f"openvino {precision}"] = f"openvino:{folder}"
        names["onnxruntime's dynamic"] = str(Path(temporary) / "onnxruntime")
        quantize_by_onnxruntime(Path(temporary) / "float32", Path(temporary) / "onnxruntime")
        rerankers = {
            f"{name}, {tokens} tokens": Reranker(path, batch_tokens=tokens, long_documents="first_window")
            for name, path in names.items()
            for tokens in budget or [2048]
        }
        typer.echo("| collection | precision | nDCG@10 | against float32 | ms a query | largest score difference |")
        typer.echo("|---|---|---|---|---|---|")
        rows = [row for folder in folders(data) for row in measure(folder, rerankers, queries, rounds)]
    if json_file is not None:
        json_file.write_text(
            json.dumps({"environment": environment(), "rows": rows}, indent=2) + "\n", encoding="utf-8"
        )


def quantize_by_onnxruntime(exported: Path, folder: Path) -> None:
    """Copy the exported folder and let onnxruntime quantise it: weights per channel, activations per batch."""
    shutil.copytree(exported, folder)
    quantize_dynamic(
        exported / "model.onnx",
        folder / "model.onnx",
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
    )
    manifest = Manifest.peek(exported)
    replace(manifest, precision="onnxruntime's dynamic").write(folder, list(manifest.files))


def measure(folder: Path, rerankers: dict[str, Reranker], queries: int, rounds: int) -> list[dict[str, Any]]:
    """Measure one collection and return its rows."""
    judged = Judged.read(folder)
    report = evaluate(judged.collection, rerankers, stage=judged.stage, limit=queries)
    quality = {evaluation.name: evaluation.metrics["nDCG@10"] for evaluation in report.evaluations[1:]}
    times, scores = measure_in_turns(judged.collection, rerankers, rounds)
    first = next(iter(rerankers))
    rows = []
    for name in rerankers:
        difference = float(np.abs(np.subtract(scores[name], scores[first])).max())
        rows.append(
            {
                "collection": folder.name,
                "precision": name,
                "nDCG@10": quality[name],
                "milliseconds": statistics.median(times[name]),
                "largest_difference": difference,
            }
        )
        cells = (
            f"{quality[name]:.4f}",
            f"{100 * (quality[name] - quality[first]):+.2f}",
            f"{rows[-1]['milliseconds']:.0f}",
        )
        typer.echo(f"| {folder.name} | {name} | " + " | ".join(cells) + f" | {difference:.4f} |")
    return rows


def measure_in_turns(
    collection: Collection, rerankers: dict[str, Reranker], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return milliseconds per query and the scores, for 20 queries with 100 documents each, the same for all."""
    rng = random.Random(3)
    documents = list(collection.documents.values())
    queries = list(collection.queries.values())[:20]
    lists = [rng.sample(documents, min(100, len(documents))) for _ in queries]
    times: dict[str, list[float]] = {name: [] for name in rerankers}
    scores: dict[str, list[float]] = {name: [] for name in rerankers}
    for number in range(rounds):
        for query, texts in zip(queries, lists, strict=True):
            for name in rng.sample(list(rerankers), len(rerankers)):
                started = time.perf_counter()
                ranking = rerankers[name].rank(query, texts)
                times[name].append(1000 * (time.perf_counter() - started))
                if number == 0:
                    scores[name] += [hit.score for hit in sorted(ranking, key=lambda hit: hit.index)]
    return times, scores


if __name__ == "__main__":
    typer.run(main)
