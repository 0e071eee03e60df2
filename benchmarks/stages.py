"""One query over 100 documents with every kind of model: milliseconds, and the ratio to sentence-transformers.

    pip install -e ".[export,late-interaction]" && python benchmarks/stages.py

All networks have MiniLM-L6's shape, with random weights where none are bundled (weights don't change the time). In each
round the models take turns, so that other load on the machine affects all alike. It needs a quiet machine.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from transformers import AutoModel, AutoTokenizer

from resift import Cascade, DenseEmbedder, Reranker, StaticEmbedder
from resift.engines.pytorch.late_interaction import LateInteractionScorer
from resift.export.pair import export_model
from workload import QUERY, build_model, passages


def main(
    documents: Annotated[int, typer.Option("--documents")] = 100,
    rounds: Annotated[int, typer.Option("--rounds")] = 7,
    length: Annotated[str, typer.Option("--length", help="short, mixed or long")] = "mixed",
) -> None:
    """Print a row for each model."""
    texts = passages(documents, length)
    with tempfile.TemporaryDirectory() as temporary:
        systems = _load_systems(Path(temporary), texts)
        times: dict[str, list[float]] = {name: [] for name in systems}
        for number in range(rounds + 1):
            for name, run in systems.items():
                started = time.perf_counter()
                run(f"{QUERY} {number}")
                if number:  # the first round warms up, and fills the kept states and vectors
                    times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(seconds) * 1000 for name, seconds in times.items()}
    baseline = medians["sentence-transformers predict"]
    typer.echo(f"{documents} {length} documents, median of {rounds}, {torch.get_num_threads()} threads")
    for name, median in medians.items():
        typer.echo(f"{name:42}{median:9.1f} ms {baseline / median:7.1f} x")


def _load_systems(folder: Path, texts: list[str]) -> dict[str, Callable[[str], object]]:
    weights = str(build_model(folder / "pair"))
    export_model(weights, folder / "float32")
    export_model(weights, folder / "dynamic", precision="int8-dynamic")
    plain = CrossEncoder(weights, device="cpu")
    late = LateInteractionScorer(_build_late_model(folder, weights))
    vectors = late.encode(texts)
    kept = LateInteractionScorer(folder / "late", vectors=vectors)
    rerankers = {
        "MiniLM-L6 exported, float32": Reranker(folder / "float32"),
        "MiniLM-L6 exported, int8-dynamic": Reranker(folder / "dynamic"),
        "resift:small": Reranker(),
        "resift:small, states kept": Reranker(keep_states=1_000_000_000),
        "resift:tiny": Reranker("resift:tiny"),
        "resift:tiny over all, resift:small over 20": Reranker(Cascade(["resift:tiny", None], keep=20)),
        "resift:fast": Reranker("resift:fast"),
    }
    runs: dict[str, Callable[[str], object]] = {
        "sentence-transformers predict": lambda query: plain.predict([(query, text) for text in texts]),
        **{
            name: (lambda query, reranker=reranker: reranker.rank(query, texts)) for name, reranker in rerankers.items()
        },
        "late interaction": lambda query: late.score(query, texts),
        "late interaction, vectors kept": lambda query: kept.score(query, texts),
    }
    for name, embedder in (("resift:dense", DenseEmbedder()), ("resift:static", StaticEmbedder())):
        runs[f"{name}, documents too"] = lambda query, embedder=embedder: embedder.embed([query, *texts])
    return runs


def _build_late_model(folder: Path, weights: str) -> Path:
    """Save a multi-vector encoder with the same layers and ColBERT's 128 dimensions; return its folder."""
    AutoModel.from_pretrained(weights).save_pretrained(folder / "trunk")
    AutoTokenizer.from_pretrained(weights).save_pretrained(folder / "trunk")
    dense = Dense(384, 128, bias=False, activation_function=torch.nn.Identity())
    dense.module_input_name = dense.module_output_name = "token_embeddings"
    unit = Normalize(module_input_name="token_embeddings")
    model = MultiVectorEncoder(modules=[Transformer(str(folder / "trunk")), dense, MultiVectorMask(), unit])
    model.save_pretrained(str(folder / "late"))
    return folder / "late"


if __name__ == "__main__":
    typer.run(main)
