"""From a model's name to a scorer: the only place that knows the engines, each imported when it is used."""

from __future__ import annotations

import inspect
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

from resift.errors import InputError, UnknownModelError
from resift.models.bundled import BUNDLED, TINY, bundled_folder
from resift.models.detect import folder_engine, hub_engine
from resift.models.options import HUB_ID, Model, ModelOptions
from resift.models.prompts import PROMPTS
from resift.scorer import Scorer

ENGINES = {
    "onnx": "resift.engines.onnx:OnnxScorer",
    "openvino": "resift.engines.openvino:OpenVINOScorer",
    "colbert": "resift.engines.pytorch.late_interaction:LateInteractionScorer",
    "st": "resift.engines.pytorch.sentence_transformers:SentenceTransformersScorer",
    "lm": "resift.engines.pytorch.generative:GenerativeScorer",
    "openai": "resift.services.llm.endpoint:openai_scorer",
    "cohere": "resift.services.rerank.engines:cohere",
    "jina": "resift.services.rerank.engines:jina",
    "voyage": "resift.services.rerank.engines:voyage",
    "mixedbread": "resift.services.rerank.engines:mixedbread",
    "tei": "resift.services.rerank.engines:tei",
    "vllm": "resift.services.rerank.engines:vllm",
    "infinity": "resift.services.rerank.engines:infinity",
    "llamacpp": "resift.services.rerank.engines:llamacpp",
    "nim": "resift.services.rerank.engines:nim",
    "compatible": "resift.services.rerank.engines:compatible",
}
"""scheme → engine, by import path. `scheme:folder` says the engine; without one the folder's files do."""
TINY_ENGINE = "resift.engines.tiny:TinyScorer"


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


def load_with_threads(model: Model, options: ModelOptions, threads: int) -> Scorer:
    """The scorer of one worker process, with so many CPU threads where its engine lets them be set.

    Ray sets a number of its own, but it reaches OpenMP alone.
    """
    if model is not None and not isinstance(model, str | os.PathLike):
        return load_scorer(model, **options)
    with_threads: ModelOptions = {**options, "threads": threads}
    try:
        return load_scorer(model, **with_threads)
    except InputError:  # an engine without that option; should something else be wrong, it is raised again
        scorer = load_scorer(model, **options)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)  # torch has one setting for the process
    return scorer
