"""A trained split network into a folder: `encoder.onnx`, `joint.onnx`, tokenizer and manifest.

    python -m resift.export.split BACKBONE JOINT.safetensors FOLDER --name resift:small

One command from training's output to what travels in the wheel.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import onnx
import torch
import typer
from torch import Tensor, nn

from resift.export._graph import write_graph
from resift.export.passes import tighten
from resift.export.precision import check_precision, quantize
from resift.export.split_network import SplitNetwork
from resift.manifest import Manifest

HEADS = "attention_heads"  # in the encoder's metadata


class _Encoder(nn.Module):
    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.network.encode(input_ids, attention_mask)


class _Joint(nn.Module):
    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, query: Tensor, query_mask: Tensor, document: Tensor, document_mask: Tensor) -> Tensor:
        return self.network.join(query, query_mask, document, document_mask)


def export_split(network: SplitNetwork, tokenizer: Path, folder: Path, manifest: Manifest) -> Manifest:
    """Writes the network's two graphs, in the manifest's precision, and returns the manifest written."""
    check_precision(manifest.precision)
    folder.mkdir(parents=True, exist_ok=True)
    ids, mask = torch.ones((2, 4), dtype=torch.long), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    with torch.inference_mode():
        states = network.encode(ids, mask)
    rows = {0: "rows"}
    write_graph(
        _Encoder(network),
        {"input_ids": ids, "attention_mask": mask},
        folder / "encoder.onnx",
        {name: {0: "rows", 1: "tokens"} for name in ("input_ids", "attention_mask", "states")},
        output="states",
    )
    axes = {name: {0: "rows", 1: f"{name.removesuffix('_mask')}_tokens"} for name in _JOINT_INPUTS}
    write_graph(
        _Joint(network),
        dict(zip(_JOINT_INPUTS, (states, mask, states, mask), strict=True)),
        folder / "joint.onnx",
        {**axes, "logit": rows},
        output="logit",
    )
    for name in ("encoder.onnx", "joint.onnx"):
        tighten(folder / name)
        quantize(folder / name, manifest.precision)
    _note_heads(folder / "encoder.onnx", network.heads)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    return manifest.write(folder, ["encoder.onnx", "joint.onnx", "tokenizer.json"])


def _note_heads(path: Path, heads: int) -> None:
    """The one size that the shapes of the weights don't show; reading the network back needs it."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {HEADS: str(heads)})
    onnx.save(model, path)


_JOINT_INPUTS = ("query", "query_mask", "document", "document_mask")


def main(
    backbone: Annotated[Path, typer.Argument(help="Hugging Face folder of the trunk")],
    joint: Annotated[Path, typer.Argument(help="trained joint layers (safetensors)")],
    folder: Annotated[Path, typer.Argument(help="where the model goes")],
    name: Annotated[str, typer.Option(help="the model's name in results")] = "resift:small",
    separate: Annotated[int, typer.Option(help="layers that see one text each")] = 4,
    slope: Annotated[float, typer.Option(help="logit per cosine")] = 19.2,
    bias: Annotated[float, typer.Option(help="logit at cosine 0")] = 0.0,
    float32: Annotated[bool, typer.Option("--float32", help="keep full-size weights")] = False,
    source: Annotated[str, typer.Option(help="where the weights come from")] = "",
) -> None:
    """Export a split network."""
    network = SplitNetwork.load(backbone, joint, separate, slope, bias)
    manifest = Manifest(
        name=name,
        kind="split",
        document_length=256,  # what the trunk was trained on; 512 measured worse on long texts
        query_length=256,
        precision="float32" if float32 else "int8",
        source=source,
        licence="Apache-2.0",
    )
    export_split(network, backbone / "tokenizer.json", folder, manifest)
    typer.echo(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
