"""ONNX graphs of one small cross-encoder in the forms in which others export them, with random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from resift.export.trace import write_graph

ROWS, TOKENS = 4, 64
"""The only shape that the static graphs take."""
NAMES = ("input_ids", "attention_mask", "token_type_ids")


class _Wrapper(torch.nn.Module):
    """Runs `forward(model, **inputs)`, with inputs of these names."""

    def __init__(self, model: Any, names: tuple[str, ...], forward: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.names, self.run = model, names, forward

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self.model, **dict(zip(self.names, inputs, strict=True)))


def logits(model: Any, **inputs: Tensor) -> Tensor:
    result: Tensor = model(**inputs).logits
    return result


def _with_positions(model: Any, position_ids: Tensor, **inputs: Tensor) -> Tensor:
    # As graphs of decoders: nothing but this input says where a token stands.
    return logits(model, position_ids=position_ids, **inputs)


def _as_long(model: Any, **inputs: Tensor) -> Tensor:
    return logits(model, **{name: tensor.long() for name, tensor in inputs.items()})


def _hidden_first(model: Any, **inputs: Tensor) -> tuple[Tensor, Tensor]:
    output = model(**inputs, output_hidden_states=True)
    return output.hidden_states[-1], output.logits


def _hidden(model: Any, **inputs: Tensor) -> Tensor:
    return _hidden_first(model, **inputs)[0]


def _pooled(model: Any, **inputs: Tensor) -> Tensor:
    return _hidden(model, **inputs).mean(1)


def _float_mask(model: Any, attention_mask: Tensor, **inputs: Tensor) -> Tensor:
    return logits(model, attention_mask=attention_mask.long(), **inputs)


def _four_labels(model: Any, **inputs: Tensor) -> Tensor:
    return logits(model, **inputs).repeat(1, 4)


def _each_token(model: Any, **inputs: Tensor) -> Tensor:
    return _hidden(model, **inputs)[..., :2]


def _log_odds(model: Any, **inputs: Tensor) -> Tensor:
    score = logits(model, **inputs)
    return torch.cat([1 - score, 1 + score], 1)  # twice the score


class Form:
    """How a graph differs from the usual one."""

    def __init__(
        self,
        forward: Callable[..., Any] = logits,
        names: tuple[str, ...] = NAMES,
        outputs: tuple[str, ...] = ("logits",),
        *,
        dtype: torch.dtype = torch.int64,
        rows: int | None = None,
        tokens: int | None = None,
        called: tuple[str, ...] | None = None,
    ) -> None:
        self.forward, self.names, self.outputs = forward, names, outputs
        self.dtype, self.rows, self.tokens = dtype, rows, tokens
        self.called = called or names


FORMS = {
    "usual": Form(),
    "int32": Form(_as_long, dtype=torch.int32),
    "float-mask": Form(_float_mask, dtype=torch.int64),
    "positions": Form(_with_positions, (*NAMES, "position_ids")),
    "logits-second": Form(_hidden_first, outputs=("last_hidden_state", "logits")),
    "unnamed-second": Form(_hidden_first, outputs=("output_0", "output_1")),
    "flat": Form(lambda model, **inputs: logits(model, **inputs)[:, 0]),
    "two-logits": Form(_log_odds),
    "static-batch": Form(rows=ROWS),
    "static-length": Form(tokens=TOKENS),
    "static": Form(rows=1, tokens=TOKENS),
    "no-types": Form(names=NAMES[:2]),
    "no-mask": Form(names=("input_ids", "token_type_ids")),
    "tensorflow": Form(called=tuple(f"{name}:0" for name in NAMES)),
    "token-vectors": Form(_hidden, outputs=("last_hidden_state",)),
    "text-vectors": Form(_pooled, outputs=("sentence_embedding",)),
    "unnamed-vectors": Form(_pooled, outputs=("output",)),
    "each-token": Form(_each_token),
    "four-labels": Form(_four_labels),
    "other-names": Form(called=("ids", "mask", "segments")),
}


def build(source: Path, form: str, folder: Path) -> Path:
    """Write the saved model in `source` as a graph of this form, with config and tokenizer, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder)
    model = AutoModelForSequenceClassification.from_pretrained(source, attn_implementation="eager")
    trace(model.eval(), FORMS[form], folder / "model.onnx", mask=torch.float32 if form == "float-mask" else None)
    return folder


def trace(model: Any, form: Form, path: Path, mask: torch.dtype | None = None) -> None:
    shape = (form.rows or 2, form.tokens or 24)
    inputs = {name: torch.ones(shape, dtype=form.dtype) for name in form.names}
    if "position_ids" in inputs:
        inputs["position_ids"] = torch.arange(shape[1]).expand(shape).contiguous()
    if mask is not None:
        inputs["attention_mask"] = inputs["attention_mask"].to(mask)
    free = {**({} if form.rows else {0: "rows"}), **({} if form.tokens else {1: "tokens"})}
    outputs = {} if form.rows else {name: {0: "rows"} for name in form.outputs}
    named = {called: inputs[name] for called, name in zip(form.called, form.names, strict=True)}
    axes = {**dict.fromkeys(named, free), **outputs} if free else {}
    write_graph(_Wrapper(model, form.names, form.forward), named, path, axes, outputs=form.outputs)


def write_settings(path: Path, **settings: Any) -> None:
    """Change entries of a JSON file; None takes one out."""
    whole = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({name: value for name, value in whole.items() if value is not None}))
