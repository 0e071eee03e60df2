"""The dense bi-encoder's passages a second, beside FastEmbed and sentence-transformers with a network of its shape.

    pip install -e ".[export]" "torch<2.14" fastembed
    python benchmarks/indexing.py --passages 300

`resift:dense` has all-MiniLM-L6-v2's layers, rounded; the others get the same architecture with random weights in
float32 (FastEmbed as ONNX), since time doesn't depend on their values. All read up to 256 tokens. They take turns; the
table has medians of the rounds. It needs a quiet machine.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertModel

from report import environment
from resift import DenseEmbedder
from workload import build_model, passages

MAX_TOKENS, WIDTH = 256, 384
Embed = Callable[[Sequence[str]], object]


class _LastStates(torch.nn.Module):
    def __init__(self, network: BertModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> object:
        return self.network(input_ids, attention_mask, token_type_ids).last_hidden_state


def main(
    count: Annotated[int, typer.Option("--passages")] = 300,
    length: Annotated[str, typer.Option("--length", help="short, mixed or long.")] = "mixed",
    rounds: Annotated[int, typer.Option("--rounds")] = 5,
) -> None:
    """Print a row for each system."""
    texts = passages(count, length)
    with tempfile.TemporaryDirectory() as work:
        systems = _load(Path(work))
        seconds: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(rounds + 1):  # the first one warms up
            for name, embed in systems.items():
                started = time.perf_counter()
                embed(texts)
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(measured[1:]) for name, measured in seconds.items()}
    typer.echo(f"{environment()}\n{count} {length} passages")
    for name, median in medians.items():
        typer.echo(f"{name:36}{count / median:8.1f} passages/s{medians['fastembed'] / median:8.2f} times fastembed")


def _load(work: Path) -> dict[str, Embed]:
    folder = build_model(work / "model")
    transformer = Transformer(str(folder), max_seq_length=MAX_TOKENS)
    sentence_transformer = SentenceTransformer(modules=[transformer, Pooling(WIDTH)], device="cpu")
    network = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.ones((2, 8), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        _LastStates(network),
        (ids, ids, torch.zeros_like(ids)),
        str(folder / "model.onnx"),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "rows", 1: "tokens"} for name in [*names, "last_hidden_state"]},
        dynamo=False,
    )
    TextEmbedding.add_custom_model(
        model="local/bert",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="local/bert"),
        dim=WIDTH,
        model_file="model.onnx",
    )
    fastembed = TextEmbedding(model_name="local/bert", specific_model_path=str(folder))
    fastembed.model.tokenizer.enable_truncation(MAX_TOKENS)
    dense = DenseEmbedder()
    return {
        "fastembed": lambda texts: np.stack(list(fastembed.embed(texts))),
        "fastembed, batches of 32": lambda texts: np.stack(list(fastembed.embed(texts, batch_size=32))),
        "sentence-transformers": lambda texts: sentence_transformer.encode(texts, show_progress_bar=False),
        "resift:dense": dense.embed,
    }


if __name__ == "__main__":
    typer.run(main)
