"""Read an exported split network back into torch, so that the bundled one can be trained further.

torch's exporter names every parameter but the matrices of linear layers; such a matrix is found through the named
bias that is added to its product.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from resift.errors import ModelFileError
from resift.export.int8_weights import unpack_int4
from resift.models.manifest import ENCODER, READER, TERMS, VOCABULARY, Manifest
from resift.networks.splade import SparseEncoderModule
from resift.networks.split import SplitModule

HEADS = "attention_heads"  # key in a graph's metadata: the one size that the shapes of its weights don't show
PREFIX = "network."
BRACKETS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def read_network(folder: Path) -> SplitModule:
    """Return the network of a bundled folder or of one that `resift train` wrote; 8-bit weights stay rounded.

    Raises ModelFileError for any other folder.
    """
    manifest = Manifest.read(folder)
    if manifest.kind != "split":
        raise ModelFileError(
            f"{folder} holds a {manifest.kind} model; training starts from a split one or a Hugging Face folder"
        )
    encoder = onnx.load(folder / ENCODER)
    weights = _tensors(encoder, onnx.load(folder / READER))
    for name in ("length", "brevity"):  # graphs of earlier versions have none
        weights.setdefault(name, torch.tensor(0.0))
    terms = _read_terms(folder) if TERMS in manifest.files else None
    trunk = BertModel(_config(weights, "separate", _heads(encoder, folder)))
    network = SplitModule(trunk, _count_layers(weights, "separate"), terms=terms, rarity=weights.get("rarity"))
    network.load_state_dict(weights, strict=False)  # position ids and the like are not stored
    missing = {name for name, _ in network.named_parameters() if not name.startswith("terms.")} - weights.keys()
    if missing:
        raise ModelFileError(f"{folder}: {len(missing)} weights are not in its graphs, such as {min(missing)}")
    return network.eval()


def _read_terms(folder: Path) -> SparseEncoderModule:
    graph = onnx.load(folder / TERMS)
    with np.load(folder / VOCABULARY, allow_pickle=False) as stored:
        vocabulary = {name: torch.tensor(stored[name]) for name in ("table", "scales", "bias")}
    weights = _tensors(graph, prefix="terms.")
    weights["embeddings.word_embeddings.weight"] = vocabulary["table"].float() * vocabulary["scales"]
    weights["bias"] = vocabulary["bias"]
    terms = SparseEncoderModule(BertForMaskedLM(_config(weights, "layers", _heads(graph, folder))))
    terms.load_state_dict(weights, strict=False)
    missing = {name for name, _ in terms.named_parameters()} - weights.keys()
    if missing:
        raise ModelFileError(f"{folder}: {len(missing)} weights are not in {TERMS}, such as {min(missing)}")
    return terms.eval()


def _heads(graph: onnx.ModelProto, folder: Path) -> int:
    heads = {entry.key: entry.value for entry in graph.metadata_props}.get(HEADS)
    if heads is None:
        raise ModelFileError(f"{folder}: a graph does not say {HEADS}: export it again with this version")
    return int(heads)


def _tensors(*graphs: onnx.ModelProto, prefix: str = PREFIX) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values) for graph in graphs for name, values in _weights(graph, prefix).items()}


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the folder's tokenizer as one of transformers."""
    file = str(folder / "tokenizer.json")
    vocabulary = Tokenizer.from_file(file)
    # Only those that it has: any other would get an id that no table has a row for.
    known = {name: token for name, token in BRACKETS.items() if vocabulary.token_to_id(token) is not None}
    return PreTrainedTokenizerFast(tokenizer_file=file, **known)  # type: ignore[no-untyped-call]  # untyped in transformers


def _weights(model: onnx.ModelProto, prefix: str) -> dict[str, NDArray[np.float32]]:
    """Return values by parameter name, 8-bit ones restored, matrices as torch has them, (outputs, inputs)."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for name in [name for name in stored if name.endswith("_int4")]:
        plain = name.removesuffix("_int4")
        stored[plain] = unpack_int4(stored.pop(name), stored.pop(f"{plain}_steps"))
    for name in [name for name in stored if name.endswith("_int8")]:
        plain = name.removesuffix("_int8")
        stored[plain] = stored.pop(name).astype(np.float32) * stored.pop(f"{plain}_scale")
    makers = {output: node for node in model.graph.node for output in node.output}
    weights = {name.removeprefix(prefix): values for name, values in stored.items() if name.startswith(prefix)}
    for node in model.graph.node:
        if node.op_type not in ("Add", "SkipLayerNormalization"):
            continue
        # The bundled model's layer norms are ONNX Runtime's fused operator: a norm has its own weights between the
        # product and the product's bias.
        added = node.input if node.op_type == "Add" else (node.input[0], *node.input[4:])
        bias = next((name for name in added if name.startswith(prefix) and name.endswith(".bias")), None)
        matrix = next((name for name in map(partial(_matrix, makers), added) if name is not None), None)
        if bias is not None and matrix is not None:
            weights[bias.removeprefix(prefix).removesuffix("bias") + "weight"] = stored[matrix].T
    return {name: np.array(values, np.float32) for name, values in weights.items()}


def _matrix(makers: Mapping[str, onnx.NodeProto], name: str) -> str | None:
    """Return the matrix that makes the product of this name; None if it is no product."""
    node = makers.get(name)
    if node is not None and node.op_type == "Mul":  # in 8 bits, a product's rows are scaled after it
        node = makers.get(node.input[0])
    if node is None or node.op_type not in ("MatMul", "MatMulIntegerToFloat"):
        return None
    return str(node.input[1]).removesuffix("_int8")


def _config(weights: dict[str, torch.Tensor], layers: str, heads: int) -> BertConfig:
    """Return the sizes of a BERT whose first layers are called `layers` and the others "upper"."""
    vocabulary, width = weights["embeddings.word_embeddings.weight"].shape
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=_count_layers(weights, layers) + _count_layers(weights, "upper"),
        num_attention_heads=heads,
        intermediate_size=len(weights[f"{layers}.0.intermediate.dense.bias"]),
        max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
        type_vocab_size=len(weights["embeddings.token_type_embeddings.weight"]),
    )


def _count_layers(weights: dict[str, torch.Tensor], part: str) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith(f"{part}.")})
