"""A split network into a folder: `encoder.onnx`, `reader.onnx`, `kept_reader.onnx`, tokenizer and manifest.

With a sparse encoder beside the trunk there are also `terms.onnx` and `vocabulary.npz`, its table of terms. Rows of the
table are inputs of the graph, and queries are compared with it: so it is stored once.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from resift.export.int8_weights import round_channels
from resift.export.kept_reader import write_kept_reader
from resift.export.passes import tighten
from resift.export.precision import check_precision, quantize
from resift.export.restore import HEADS
from resift.export.trace import write_graph
from resift.models.manifest import ENCODER, KEPT_READER, READER, TERMS, VOCABULARY, Manifest
from resift.networks.splade import STATE_SCALE, SparseEncoderModule
from resift.networks.split import EncodedBatch, SplitModule

OUTPUTS = ("states", "vector")
MIN_ROWS_INT4 = 4096  # of an embedding table that gets 4 bits
READER_INPUTS = {
    "query_ids": {0: "rows", 1: "query_tokens"},
    "query_states": {0: "rows", 1: "query_tokens"},
    "query_vector": {0: "rows"},
    "query_terms": {0: "rows", 1: "terms"},
    "document_ids": {0: "rows", 1: "document_tokens"},
    "document_states": {0: "rows", 1: "document_tokens"},
    "document_vector": {0: "rows"},
}
"""Inputs of the reader with their axes of any length; without a sparse encoder there are no terms."""


class _Encoder(nn.Module):
    def __init__(self, network: SplitModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.encode_trunk(input_ids)


class _Terms(nn.Module):
    def __init__(self, terms: SparseEncoderModule) -> None:
        super().__init__()
        self.terms = terms

    def forward(self, input_ids: Tensor, rows: Tensor) -> Tensor:
        return self.terms.encode_rows(input_ids, rows)


class _Reader(nn.Module):
    def __init__(self, network: SplitModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, *parts: Tensor) -> Tensor:
        *query, ids, states, vector = parts
        return self.network.score(EncodedBatch(*query), EncodedBatch(ids, states, vector))


def export_split(network: SplitModule, tokenizer: Path, folder: Path, manifest: Manifest) -> Manifest:
    """Write the network's graphs in the manifest's precision, and return the manifest written."""
    check_precision(manifest.precision)
    folder.mkdir(parents=True, exist_ok=True)
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0]])
    with torch.inference_mode():
        query = network.encode_queries(ids)
    files = [ENCODER, READER, "tokenizer.json"]
    write_graph(
        _Encoder(network),
        {"input_ids": ids},
        folder / ENCODER,
        {**{name: {0: "rows", 1: "tokens"} for name in ("input_ids", "states")}, "vector": {0: "rows"}},
        outputs=OUTPUTS,
    )
    if network.terms is not None:
        _write_terms(network.terms, ids, folder, manifest.precision)
        files += [TERMS, VOCABULARY]
    parts = {
        name: tensor
        for name, tensor in zip(READER_INPUTS, (*query, query.ids, query.states, query.vector), strict=True)
        if tensor is not None
    }
    write_graph(_Reader(network), parts, folder / READER, {**READER_INPUTS, "logit": {0: "rows"}}, outputs=("logit",))
    for name in files:
        if name.endswith(".onnx"):
            tighten(folder / name)
            quantize(folder / name, _graph_precision(name, manifest.precision), narrow=MIN_ROWS_INT4)
    _store_heads(folder / ENCODER, network.heads)
    if network.terms is not None:
        _store_heads(folder / TERMS, network.terms.heads)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    write_kept_reader(network, folder / KEPT_READER)
    return manifest.write(folder, [*files, KEPT_READER])


def _graph_precision(file: str, precision: str) -> str:
    """Return the precision of a graph. Only the encoder's products are wide enough to gain from 8-bit activations."""
    return "int8" if precision == "int8-dynamic" and file != ENCODER else precision


def _write_terms(terms: SparseEncoderModule, ids: Tensor, folder: Path, precision: str) -> None:
    """Write the graph from rows of the vocabulary to token states, and the vocabulary, in 8 bits unless in float32."""
    table = terms.embeddings.word_embeddings.weight.detach()
    axes = {name: {0: "rows", 1: "tokens"} for name in ("input_ids", "rows", "states")}
    write_graph(_Terms(terms), {"input_ids": ids, "rows": table[ids]}, folder / TERMS, axes, outputs=("states",))
    values = table.numpy()
    steps = np.ones((len(values), 1), np.float32)
    if precision != "float32":
        values, steps = round_channels(values, keep=0)
    bias = terms.bias.detach().numpy()
    np.savez(folder / VOCABULARY, table=values, scales=steps, bias=bias, size=np.float32(STATE_SCALE))


def _store_heads(path: Path, heads: int) -> None:
    """Store the one size that the shapes of the weights don't show; `resift.export.restore` needs it."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {HEADS: str(heads)})
    onnx.save(model, path)
