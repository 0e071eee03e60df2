"""What a model can be named by, and which options its engine may take."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from resift._util.arguments import number, shown, whole_number
from resift._util.secret import SecretLike
from resift.errors import InputError, UnknownModelError
from resift.scorer import LongDocuments, Scale, Scorer

Dtype = Literal["float32", "bfloat16"]
ControlTokens = Literal["text", "model"]

Model = str | os.PathLike[str] | Scorer | None

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelOptions(TypedDict, total=False):
    """Options of the engines, all optional. An engine takes those that list it below, and refuses the others by name.

    Engines are named as in `resift models`: `onnx` (`resift:small` and `resift:multilingual` too), `openvino`, `tiny`
    (`resift:tiny`), `fast` (`resift:fast`), `st` (sentence-transformers), `lm` (language models), `colbert` (late
    interaction), `openai` (an LLM behind a chat endpoint), and `services`: `cohere`, `jina`, `voyage`, `mixedbread`,
    `contextual`, `tei`, `vllm`, `infinity`, `llamacpp`, `nim` and `compatible`.
    """

    long_documents: LongDocuments
    """What happens to a document longer than the model reads. `max_window` scores overlapping windows and takes the
    best (not `colbert`); `truncate` scores its beginning and warns; `first_window` scores it without a warning.
    Default: `max_window` for networks that encode documents apart (the bundled ones), else `truncate`.

    Supported by: `onnx`, `openvino`, `tiny`, `fast`, `st`, `lm`, `colbert`."""
    max_length: int
    """Tokens the model may read of query and document together; of the document alone where the two are encoded apart.
    Default: the model's own limit, or less where its authors say so (`resift models`).

    Supported by: `onnx`, `openvino`, `tiny`, `fast`, `st`, `lm`, `colbert`."""
    batch_tokens: int
    """Tokens, padding included, in one batch of the network: bounds memory, and changes no score.

    Supported by: `onnx`, `openvino`, `tiny`, `fast`, `st`, `lm`, `colbert`."""
    control_tokens: ControlTokens
    """How a special token of the tokenizer, such as `[SEP]` or `</s>`, is read where a query or a document spells it:
    `text` reads its letters; `model` reads the token itself, as sentence-transformers does. Default: `text` for
    networks that encode documents apart (the bundled ones), else `model`. Language models (`lm`) always read text.

    Supported by: `onnx`, `openvino`, `tiny`, `fast`, `st`."""
    threads: int
    """CPU threads of the engine. Default: one per core.

    Supported by: `onnx`, `openvino`, `tiny`, `fast`."""
    keep_states: int
    """Bytes of document states to keep, for networks that encode documents apart: in memory, or in `states_file` if one
    is given. Default 0: none in memory, no limit for a file.

    Supported by: `onnx`, `openvino`, `fast`."""
    states_file: str | os.PathLike[str]
    """A file for document states, shared by processes, for the same networks.

    Supported by: `onnx`, `openvino`, `fast`."""
    device: str
    """Where torch runs: "cpu", "cuda", "mps"... Default: the best that is there.

    Supported by: `st`, `lm`, `colbert`."""
    dtype: Dtype
    """The precision torch computes in. Default: bfloat16 on a GPU that has it, else float32.

    Supported by: `st`."""
    instruction: str
    """What makes a document relevant, in words. Default: none, or that of the language model's authors. Each call can
    have another. Refused for a model that reads none: of `lm`, one whose template has no place for it; of `st`, one
    that reads no chat messages; of `services`, all but Contextual's models and Voyage's rerank-2.5.

    Supported by: `st`, `lm`, `openai`, `services`."""
    revision: str
    """Commit, tag or branch of a Hugging Face model.

    Supported by: `onnx`, `openvino`, `st`, `lm`, `colbert`."""
    local_files_only: bool
    """True: never ask the Hugging Face hub.

    Supported by: `onnx`, `openvino`, `st`, `lm`, `colbert`."""
    base_url: str
    """Where a service or server is: its root or endpoint. Default: the provider's own.

    Supported by: `openai`, `services`."""
    api_key: str | SecretLike
    """The service's key, a text or a secret object. Default: its environment variable.

    Supported by: `openai`, `services`."""
    timeout: float
    """Seconds that one request may take. Default: 60.

    Supported by: `openai`, `services`."""
    total_timeout: float
    """Seconds that a whole call may take, with all its requests, waits and retries. Default: no limit.

    Supported by: `services`."""
    max_retries: int
    """How often a failed request is sent again. Default: 2.

    Supported by: `services`."""
    parallel_requests: int
    """Requests of one call that may run at the same time. Default: 4.

    Supported by: `services`."""
    batch_documents: int
    """Documents in one request. Default: what the service allows.

    Supported by: `services`."""
    scale: Scale | str
    """What a service's scores mean, where you know better than `resift.services.rerank.known_services`.

    Supported by: `services`."""
    method: Literal["listwise", "pointwise", "yes_no"]
    """How an LLM ranks, as for `resift.llm.LlmScorer`. Default: listwise.

    Supported by: `openai`."""
    temperature: float | None
    """Temperature of an LLM. Default: 0; None leaves it to the model.

    Supported by: `openai`."""
    trust_remote_code: bool
    """True: run Python code that comes with the model. A hub model needs `revision` too, a commit's 40 digits.

    Supported by: `st`, `lm`, `colbert`."""
    allow_untrained_head: bool
    """True: load a model whose files lack weights of its scoring head, such as a bi-encoder or a bare encoder. They are
    random numbers then, others at every load. Default False: it is refused.

    Supported by: `st`, `lm`, `colbert`."""


_WHOLE = ("max_length", "batch_tokens", "threads", "keep_states", "max_retries", "parallel_requests", "batch_documents")
_NUMBERS = ("timeout", "total_timeout", "temperature")
_TEXTS = ("control_tokens", "device", "dtype", "instruction", "revision", "base_url", "method", "long_documents")
_SWITCHES = ("local_files_only", "trust_remote_code", "allow_untrained_head")


def check_option_kinds(options: Mapping[str, Any]) -> None:
    """Raise InputError for an option of another type than `ModelOptions` says, before an engine computes with it.

    Whether a number or a text can be used is the engine's to say.
    """
    for name, value in options.items():
        if name in _WHOLE:
            whole_number(name, value)
        elif name in _NUMBERS:
            number(name, 0 if value is None and name == "temperature" else value)  # None: the model's own
        elif name in _TEXTS and not isinstance(value, str):
            raise InputError(f"{name} must be a text, got {shown(value)}")
        elif name in _SWITCHES and not isinstance(value, bool):
            raise InputError(f"{name} must be True or False, got {shown(value)}")
        elif name == "states_file" and not isinstance(value, str | os.PathLike):
            raise InputError(f"{name} must be a path, got {shown(value)}")


def check_source(model: str) -> None:
    """Raise UnknownModelError unless the name is a folder or can be a Hugging Face id."""
    if not Path(model).is_dir() and not HUB_ID.fullmatch(model):
        raise UnknownModelError(f"{model!r} is neither a folder nor a Hugging Face id (organisation/model)")
