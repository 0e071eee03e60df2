"""From a model's name to a scorer: the only place that knows the engines, each imported when it is used."""

from __future__ import annotations

import inspect
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from resift._util.secret import SecretLike
from resift.catalogue.detect import folder_engine, hub_engine
from resift.catalogue.prompts import PROMPTS
from resift.errors import InputError, UnknownModelError
from resift.models import BUNDLED, TINY, bundled_folder
from resift.scorer import Scale, Scorer

LongDocuments = Literal["truncate", "max_window", "first_window"]
Dtype = Literal["float32", "bfloat16"]
Model = str | os.PathLike[str] | Scorer | None

ENGINES = {
    "onnx": "resift.engines.onnx:OnnxScorer",
    "openvino": "resift.engines.openvino:OpenVINOScorer",
    "colbert": "resift.engines.late_interaction:LateInteractionScorer",
    "st": "resift.engines.sentence_transformers:SentenceTransformersScorer",
    "lm": "resift.engines.generative:GenerativeScorer",
    "openai": "resift.llm.endpoint:openai_scorer",
    "cohere": "resift.remote:cohere",
    "jina": "resift.remote:jina",
    "voyage": "resift.remote:voyage",
    "mixedbread": "resift.remote:mixedbread",
    "tei": "resift.remote:tei",
    "vllm": "resift.remote:vllm",
    "infinity": "resift.remote:infinity",
    "llamacpp": "resift.remote:llamacpp",
    "nim": "resift.remote:nim",
    "compatible": "resift.remote:compatible",
}
"""scheme → engine, by import path. `scheme:folder` says the engine; without one the folder's files do."""
TINY_ENGINE = "resift.engines.tiny:TinyScorer"

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelOptions(TypedDict, total=False):
    """Options of the engines. Each engine takes those that make sense for it and refuses the others."""

    long_documents: LongDocuments
    """`truncate` (default) scores the beginning and warns; `max_window` scores overlapping windows and keeps
    the best; `first_window` scores the beginning, as something you know and want."""
    max_length: int
    """Tokens the model may read of query and document together. The limit is the model's own, and so is the default,
    or less where its authors say so (`resift models`)."""
    batch_tokens: int
    """Tokens, padding included, in one batch of the network: bounds memory, and changes no score."""
    threads: int
    """CPU threads of the engine (`onnx`, `openvino`); default: one per core."""
    keep_states: int
    """Bytes of document states to keep (`onnx`, networks that encode documents apart): in memory, or in `states_file`
    if one is given. Default 0: none in memory, no limit for a file."""
    states_file: str | os.PathLike[str]
    """A file for document states, shared by processes (`onnx`, the same networks)."""
    device: str
    """Where torch runs (`st`, `lm`): "cpu", "cuda", "mps"..."""
    dtype: Dtype
    """What torch computes in (`st`). Default: bfloat16 on a card that has it, else float32."""
    instruction: str
    """What makes a document relevant, in words, for a language model whose template takes it (`lm`)."""
    revision: str
    """Commit, tag or branch of a Hugging Face model."""
    local_files_only: bool
    """Never ask the hub."""
    base_url: str
    """Where a service or server is (`remote`, `openai`): its root or endpoint. Default: the provider's own."""
    api_key: str | SecretLike
    """The service's key, a text or a secret object (`remote`, `openai`). Default: its environment variable."""
    timeout: float
    """Seconds one request may take (`remote`, `openai`); 60 unless you say otherwise."""
    total_timeout: float
    """Seconds a whole call may take, with all its requests, waits and retries (`remote`). Default: no limit."""
    max_retries: int
    """How often a failed request is sent again (`remote`); 2 unless you say otherwise."""
    parallel_requests: int
    """Requests of one call that may run side by side (`remote`); 4 unless you say otherwise."""
    batch_documents: int
    """Documents in one request (`remote`). Default: what the service allows."""
    scale: Scale | str
    """What a service's scores mean, where you know better than `resift.remote.services` (`remote`)."""
    method: Literal["listwise", "pointwise", "yes_no"]
    """How an LLM ranks (`openai`), as `resift.llm.LlmScorer` has it."""
    temperature: float | None
    """Of an LLM (`openai`); 0 unless you say otherwise, None leaves it to the model."""
    trust_remote_code: bool
    """Run code that comes with the model (`st`, `lm`). Off unless you say so; a hub model's is pinned by `revision`,
    a commit's 40 digits."""


def load_scorer(model: Model = None, **options: Unpack[ModelOptions]) -> Scorer:
    """The scorer a name stands for; a `Scorer` comes back as it is.

    None is the bundled cross-encoder. A name is, in this order: `scheme:name`, a folder that exists, a
    Hugging Face id ("organisation/model", which downloads unless it is cached). A folder is read as what it
    holds: a language model, else ONNX if there is a graph, late interaction if it was saved as such, else
    sentence-transformers; an id goes where the catalogue says, else to sentence-transformers. A template's name
    is a scheme too: `monot5:folder`.

    Raises UnknownModelError for anything else, InputError for an option the engine doesn't have, and
    ModelFileError for a model that can't be loaded.
    """
    if model is None:
        model = f"resift:{BUNDLED[0]}"
    if not isinstance(model, str | os.PathLike):
        if options:
            raise InputError(f"{', '.join(options)}: options go to the engine that made the scorer, not beside it")
        return model
    model = os.fspath(model)
    if model == f"resift:{TINY}":
        return _build(TINY_ENGINE, model, [], options)
    scheme, *name = _resolve(model, options.get("trust_remote_code", False))
    return _build(ENGINES[scheme], f"{scheme}:{name[0]}", name, options)


def check_source(model: str) -> None:
    """Raises UnknownModelError unless the name is a folder or can be a Hugging Face id."""
    if not Path(model).is_dir() and not HUB_ID.fullmatch(model):
        raise UnknownModelError(f"{model!r} is neither a folder nor a Hugging Face id (organisation/model)")


def _resolve(model: str, remote_code: bool) -> tuple[str, ...]:
    """The scheme, the name, and a template's name where that was the scheme."""
    scheme, colon, name = model.partition(":")
    if colon and scheme == "resift":
        return "onnx", str(bundled_folder(name))
    if colon and scheme in ENGINES:
        return scheme, name
    if colon and scheme in PROMPTS:
        return "lm", name, scheme
    if Path(model).is_dir():
        return folder_engine(Path(model)), model
    if HUB_ID.fullmatch(model) and not Path(model).exists():
        return hub_engine(model, remote_code=remote_code), model
    bundled = ", ".join(f"resift:{known}" for known in (*BUNDLED, TINY))
    schemes = ", ".join(f"{known}:" for known in ("resift", *ENGINES, *PROMPTS))
    raise UnknownModelError(
        f"{model!r} is no folder, no Hugging Face id (organisation/model) and has no scheme I know; "
        f"bundled: {bundled}; schemes: {schemes}"
    )


def _build(path: str, label: str, name: list[str], options: ModelOptions) -> Scorer:
    module, _, attribute = path.partition(":")
    engine: Any = getattr(import_module(module), attribute)
    parameters = inspect.signature(engine).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise InputError(f"{label} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    scorer: Scorer = engine(*name, **options)
    return scorer
