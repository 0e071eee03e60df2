"""Any cross-encoder sentence-transformers can load, as a folder the `onnx` engine reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from torch import Tensor, nn

from resift.engines.common.pairs import check_labels, position_limit
from resift.engines.pytorch.sentence_transformers import copy_fast_tokenizer, shared_input_names
from resift.engines.pytorch.source import ModelSource
from resift.errors import ModelFileError
from resift.export._graph import write_graph
from resift.export.passes import tighten
from resift.export.precision import check_precision, quantize
from resift.models.catalogue import find
from resift.models.manifest import Manifest
from resift.models.options import check_source
from resift.text.tokenizer import TextTokenizer

LENGTH_SEEN = 24  # tokens of the example the graph is traced on; any other length works as well
ROOM = 1024  # a causal model's context is no reason to read a book: `max_length` chooses more


class _Scores(nn.Module):
    """All modules of a cross-encoder, from ids to scores."""

    def __init__(self, model: CrossEncoder, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        features: dict[str, Any] = dict(zip(self.names, inputs, strict=True))
        scores: Tensor = self.model({**features, "modality": "text"})["scores"]
        return scores


def export_model(
    model: str,
    folder: Path,
    *,
    precision: str = "float32",
    max_length: int | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Manifest:
    """Writes `model.onnx`, `tokenizer.json` and the manifest, and returns the manifest.

    `model` is a folder or a Hugging Face id. `precision` is one of `resift.export.precision.PRECISIONS`: `int8`
    rounds the weights (a quarter of the bytes; the scores move by about a hundredth and still don't depend on the
    batch). The graph gives raw logits, and computes no more than they need (`resift.export.passes`).

    `max_length` is what the folder says the model reads; without it the catalogue's default, or the model's limit.

    Raises UnknownModelError for a name that is neither, InputError for an unknown precision or remote code of a hub
    model without the commit in `revision`, and ModelFileError for a model whose pairs the exported tokenizer would
    not join as the model does.
    """
    check_precision(precision)
    check_source(model)
    source = ModelSource(model, revision, trust_remote_code=trust_remote_code)
    _check_architecture(source)
    network = CrossEncoder(
        model,
        device="cpu",
        **source.load_options(),
        model_kwargs={"attn_implementation": "eager"},  # the one form of attention every tracer understands
    )
    network.eval().float()
    check_labels(network.num_labels, model)
    names = input_names(network, model)
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / "model.onnx"
    trace(network, names, graph)
    tighten(graph)
    quantize(graph, precision)
    _tokenizer(network).save(str(folder / "tokenizer.json"))
    limit = min(network.max_seq_length or ROOM, position_limit(network.config.to_dict()))
    entry = find(model)
    usual = max_length or (entry.tuned_length if entry is not None else None)
    manifest = Manifest(
        name=Path(model).name if Path(model).is_dir() else model,
        kind="pair",
        document_length=min(limit, usual or limit),
        precision=precision,
        source=model if not Path(model).is_dir() else "",
    )
    return manifest.write(folder, ["model.onnx", "tokenizer.json"])


def _check_architecture(source: ModelSource) -> None:
    """Raises ModelFileError for a language model: what its template asks is no pair."""
    architecture = (source.read_config().get("architectures") or [""])[0]
    entry = find(source.name)
    if architecture.endswith(("ForCausalLM", "ForConditionalGeneration")) or (entry is not None and entry.prompt):
        raise ModelFileError(
            f"{source.name} ({architecture}) is a language model with a template, and only cross-encoders over pairs "
            "are exported: use it as it is (the engine `lm`)"
        )


def trace(network: CrossEncoder, names: list[str], path: Path) -> None:
    """The network as torch's exporter writes it, taking the inputs of these names and giving `logits`."""
    example = {name: torch.ones((2, LENGTH_SEEN), dtype=torch.long) for name in names}
    axes = {name: {0: "rows", 1: "tokens"} for name in names}
    write_graph(_Scores(network, names), example, path, {**axes, "logits": {0: "rows"}}, outputs=("logits",))


def _tokenizer(network: CrossEncoder) -> Tokenizer:
    copy = copy_fast_tokenizer(network)
    if copy is None:
        raise ModelFileError("the model has no fast tokenizer (tokenizer.json), which running it without torch needs")
    copy.no_truncation()
    copy.enable_padding(pad_id=network.tokenizer.pad_token_id or 0)
    return copy


def input_names(network: CrossEncoder, model: str) -> list[str]:
    """The inputs the graph needs, once it is sure that our pairs are the model's own."""
    tokenizer = TextTokenizer(_tokenizer(network))
    names = shared_input_names(network, tokenizer, tokenizer.pair_template())
    if names is None:
        raise ModelFileError(
            f"{model} reads its pairs in a form of its own (a chat template): it can't be exported as a pair model; "
            "use it through sentence-transformers"
        )
    return names
