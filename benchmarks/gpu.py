"""One cross-encoder on a graphics card: sentence-transformers' `predict` and resift, in float32 and bfloat16.

    python benchmarks/gpu.py --candidates 1000
    python benchmarks/gpu.py --model FOLDER --device cpu --candidates 30

All systems take turns on the same mixed passages. `predict` is measured with batches of 32 pairs (its default) and 256.
The difference is the largest difference of a logit from float32 `predict`. Ties are pairs that share their score with
another pair.
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
from sentence_transformers import CrossEncoder

from report import environment, show
from resift import load_scorer
from resift.models.options import Dtype
from workload import QUERY, build_model, passages

Score = Callable[[Sequence[str]], Sequence[float]]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")


def predict(folder: str, device: str, dtype: Dtype, pairs: int) -> Score:
    """Return a function that scores texts with sentence-transformers' `predict`, `pairs` in a batch."""
    model = CrossEncoder(folder, device=device, model_kwargs={"dtype": getattr(torch, dtype)})

    def score(texts: Sequence[str]) -> Sequence[float]:
        logits = model.predict(
            [(QUERY, text) for text in texts],
            batch_size=pairs,
            activation_fn=torch.nn.Identity(),
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        return [float(logit) for logit in logits.float().cpu()]

    return score


def resift(folder: str, device: str, dtype: Dtype) -> Score:
    """Return a function that scores texts with resift's engine."""
    scorer = load_scorer(f"st:{folder}", device=device, dtype=dtype)
    return lambda texts: list(scorer.score(QUERY, texts))


def main(
    model: Annotated[Path | None, typer.Option("--model", help="Default: MiniLM-L6's shape, random.")] = None,
    device: Annotated[str, typer.Option("--device")] = "cuda",
    candidates: Annotated[int, typer.Option("--candidates")] = 1000,
    rounds: Annotated[int, typer.Option("--rounds")] = 7,
) -> None:
    """Measure all systems and print a table."""
    texts = passages(candidates, "mixed")
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(model or build_model(Path(temporary) / "weights"))
        systems: dict[str, Score] = {}
        for dtype in DTYPES:
            for pairs in (32, 256):
                systems[f"predict, {dtype}, {pairs} pairs"] = predict(folder, device, dtype, pairs)
            systems[f"resift, {dtype}"] = resift(folder, device, dtype)
        scores = {name: np.array(score(texts)) for name, score in systems.items()}  # and warms up
        times: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(rounds):
            for name, score in systems.items():
                started = time.perf_counter()
                score(texts)
                times[name].append(1000 * (time.perf_counter() - started))
    first = next(iter(systems))
    card = torch.cuda.get_device_name() if device == "cuda" else device
    show(f"{environment()}\n{card}, {candidates} mixed passages\n\n| | ms | times as fast | difference | ties |")
    show("|---|---|---|---|---|")
    for name, milliseconds in times.items():
        median = statistics.median(milliseconds)
        difference = float(np.abs(scores[name] - scores[first]).max())
        ties = len(texts) - len(set(scores[name].tolist()))
        ratio = statistics.median(times[first]) / median
        show(f"| {name} | {median:.1f} | {ratio:.1f} | {difference:.4f} | {ties} |")


if __name__ == "__main__":
    typer.run(main)
