"""A split network's reader for kept states (`resift.networks.kept`) as a graph.

It is made from the weights that a folder's own graphs have:

    python -m resift.export.kept_reader FOLDER

adds it to a folder that an earlier version exported.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from resift.export.int8_weights import quantize_weights
from resift.export.passes.graph import Graph
from resift.export.restore import read_network
from resift.export.trace import write_graph
from resift.models.manifest import KEPT_READER, Manifest
from resift.networks.kept import KeptReader
from resift.networks.split import EncodedBatch, SplitModule

AXES = {
    "query_ids": {0: "queries", 1: "query_tokens"},
    "query_states": {0: "queries", 1: "query_tokens"},
    "query_vector": {0: "queries"},
    "query_terms": {0: "queries", 1: "terms"},
    "document_ids": {0: "rows", 1: "document_tokens"},
    "document_numbers": {0: "rows", 1: "document_tokens"},
    "document_scales": {0: "rows", 1: "document_tokens"},
    "document_vector": {0: "rows"},
}
"""Inputs with their axes of any length; there is one query for all rows, or one for each."""


class _KeptReader(nn.Module):
    def __init__(self, network: SplitModule) -> None:
        super().__init__()
        self.reader = KeptReader(network)

    def forward(self, *parts: Tensor) -> Tensor:
        *query, ids, numbers, scales, vector = parts
        logit: Tensor = self.reader(EncodedBatch(*query), ids, numbers, scales, vector)
        return logit


def add_kept_reader(folder: Path) -> Manifest:
    """Write the graph of a split network's folder into it, and return the new manifest.

    Raises ModelFileError for another folder.
    """
    network, manifest = read_network(folder), Manifest.peek(folder)
    write_kept_reader(network, folder / KEPT_READER)
    return manifest.write(folder, [*(name for name in manifest.files if name != KEPT_READER), KEPT_READER])


def write_kept_reader(network: SplitModule, path: Path) -> None:
    """Write the graph, with weights of 8 bits where its products are of float32."""
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0]])
    with torch.inference_mode():
        encoded = network.encode_queries(ids)
    numbers = (encoded.states * 10).round().clamp(-127, 127).to(torch.int8)
    query = (None if part is None else part[:1] for part in encoded)
    scales = encoded.mask / 10
    inputs = {
        name: tensor
        for name, tensor in zip(AXES, (*query, ids, numbers, scales, encoded.vector), strict=True)
        if tensor is not None
    }
    write_graph(_KeptReader(network), inputs, path, {**AXES, "logit": {0: "rows"}}, outputs=("logit",))
    onnx.save(Graph.read(onnx.load(path)).write(), path)  # without constants that are nodes
    quantize_weights(path)


if __name__ == "__main__":
    add_kept_reader(Path(sys.argv[1]))
