"""A split network into a folder: `encoder.onnx`, `reader.onnx`, tokenizer and manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from resift.export._graph import write_graph
from resift.export.passes import tighten
from resift.export.precision import check_precision, quantize
from resift.export.split_network import Side, SplitNetwork
from resift.manifest import ENCODER, READER, Manifest

HEADS = "attention_heads"  # in the encoder's metadata
OUTPUTS = ("states", "vector")
SIDES = ("query", "document")


class _Encoder(nn.Module):
    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        side = self.network.encode(input_ids)
        return side.states, side.vector


class _Reader(nn.Module):
    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *parts: Tensor) -> Tensor:
        return self.network.join(Side(*parts[:3]), Side(*parts[3:]))


def export_split(network: SplitNetwork, tokenizer: Path, folder: Path, manifest: Manifest) -> Manifest:
    """Writes the network's two graphs, in the manifest's precision, and returns the manifest written."""
    check_precision(manifest.precision)
    folder.mkdir(parents=True, exist_ok=True)
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0]])
    with torch.inference_mode():
        side = network.encode(ids)
    write_graph(
        _Encoder(network),
        {"input_ids": ids},
        folder / ENCODER,
        {**{name: {0: "rows", 1: "tokens"} for name in ("input_ids", "states")}, "vector": {0: "rows"}},
        outputs=OUTPUTS,
    )
    axes = {
        f"{text}_{part}": {0: "rows", 1: f"{text}_tokens"} if part != "vector" else {0: "rows"}
        for text in SIDES
        for part in Side._fields
    }
    write_graph(
        _Reader(network),
        dict(zip(axes, (*side, *side), strict=True)),
        folder / READER,
        {**axes, "logit": {0: "rows"}},
        outputs=("logit",),
    )
    for name in (ENCODER, READER):
        tighten(folder / name)
        quantize(folder / name, manifest.precision)
    _note_heads(folder / ENCODER, network.heads)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    return manifest.write(folder, [ENCODER, READER, "tokenizer.json"])


def _note_heads(path: Path, heads: int) -> None:
    """The one size that the shapes of the weights don't show; reading the network back needs it."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {HEADS: str(heads)})
    onnx.save(model, path)
