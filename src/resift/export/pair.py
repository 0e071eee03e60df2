"""Any cross-encoder that sentence-transformers can load, into a folder that the `onnx` engine reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from torch import Tensor, nn

from resift.engines.common.pairs import position_limit
from resift.engines.pytorch.loading import load_cross_encoder
from resift.engines.pytorch.sentence_transformers import copy_fast_tokenizer, lacks_padding, shared_input_names
from resift.engines.pytorch.source import ModelSource
from resift.errors import ModelFileError
from resift.export.bars import no_progress_bars
from resift.export.passes import tighten
from resift.export.precision import check_precision, quantize
from resift.export.trace import write_graph
from resift.models.catalogue import find
from resift.models.manifest import Manifest
from resift.models.options import check_source
from resift.text.tokenizer import TextTokenizer

EXAMPLE_TOKENS = 24  # of the input that the graph is traced on; any other length works as well
DEFAULT_TOKENS = 1024  # of a model without a limit of its own; `max_length` chooses more


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
    allow_untrained_head: bool = False,
) -> Manifest:
    """Write a cross-encoder as `model.onnx`, `tokenizer.json` and a manifest, which run without torch.

    The graph gives raw logits, and computes no more than they need (`resift.export.passes`).

    Args:
        model: A folder or a Hugging Face id.
        folder: Where the files go. It is made if there is none.
        precision: `float32`; `int8`, which rounds the weights (a quarter of the bytes; scores move by about a
            hundredth); or `int8-dynamic`, whose matrix products are made of 8-bit numbers too, which is faster. In all
            of them a score does not depend on the other texts of its batch.
        max_length: Tokens of a pair that the manifest says the model reads; None for the catalogue's default, or the
            model's limit.
        revision: Branch, tag or commit of a Hugging Face model.
        trust_remote_code: Whether code that comes with the model may run. For a Hugging Face model it needs the commit
            in `revision`.
        allow_untrained_head: Whether a model may be exported whose files lack weights of its scoring head: they are
            random numbers.

    Returns:
        The manifest that was written.

    Raises:
        UnknownModelError: The model is neither a folder nor a Hugging Face id.
        InputError: The precision is unknown, or code of a Hugging Face model is trusted without a commit.
        ModelFileError: The model can't be loaded, is no reranker, is a language model with a template, has no fast
            tokenizer, or joins pairs in another way than the exported tokenizer would.

    """
    check_precision(precision)
    check_source(model)
    source = ModelSource.find(model, revision, trust_remote_code=trust_remote_code)
    _check_architecture(source)
    with no_progress_bars():
        network = load_cross_encoder(
            source,
            allow_untrained_head=allow_untrained_head,
            device="cpu",
            model_kwargs={"attn_implementation": "eager"},  # the form of attention that every tracer understands
        )
    network.float()
    if lacks_padding(network):
        raise ModelFileError(
            f"{model} scores by a row's last token and has no padding token, without which a graph can't find it: name "
            "one as pad_token_id in config.json"
        )
    names = input_names(network, model)
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / "model.onnx"
    trace(network, names, graph)
    tighten(graph)
    quantize(graph, precision)
    _tokenizer(network).save(str(folder / "tokenizer.json"))
    config: Any = network.config
    limit = min(network.max_seq_length or DEFAULT_TOKENS, position_limit(config.to_dict()))
    entry = find(model)
    default = max_length or (entry.tuned_length if entry is not None else None)
    manifest = Manifest(
        name=Path(model).name if Path(model).is_dir() else model,
        kind="pair",
        document_length=min(limit, default or limit),
        precision=precision,
        source=model if not Path(model).is_dir() else "",
    )
    return manifest.write(folder, ["model.onnx", "tokenizer.json"])


def _check_architecture(source: ModelSource) -> None:
    """Raise ModelFileError for a language model, which reads a template and no pair."""
    architecture = (source.read_config().get("architectures") or [""])[0]
    entry = find(source.name)
    if architecture.endswith(("ForCausalLM", "ForConditionalGeneration")) or (entry is not None and entry.prompt):
        raise ModelFileError(
            f"{source.name} ({architecture}) is a language model with a template, and only cross-encoders over pairs "
            "are exported: use it as it is (the engine `lm`)"
        )


def trace(network: CrossEncoder, names: list[str], path: Path) -> None:
    """Write the network as torch's exporter does, with inputs of these names and the output `logits`."""
    example = {name: torch.ones((2, EXAMPLE_TOKENS), dtype=torch.long) for name in names}
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
    """Return the names of the graph's inputs. Raises ModelFileError where our pairs are not the model's own."""
    tokenizer = TextTokenizer(_tokenizer(network))
    names = shared_input_names(network, tokenizer, tokenizer.pair_template())
    if names is None:
        raise ModelFileError(
            f"{model} reads its pairs in a form of its own (a chat template): it can't be exported as a pair model; "
            "use it through sentence-transformers"
        )
    return names
