"""From a model's name to a scorer: the only place that knows the engines, each imported when it is used."""

from __future__ import annotations

import inspect
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from resift.errors import InputError, ModelFileError, UnknownModelError
from resift.models import BUNDLED, bundled_folder
from resift.scorer import Scorer

LongDocuments = Literal["truncate", "max_window", "first_window"]
Model = str | os.PathLike[str] | Scorer | None

ENGINES = {
    "onnx": "resift.engines.onnx:OnnxScorer",
    "st": "resift.engines.sentence_transformers:SentenceTransformersScorer",
}
"""scheme → engine, by import path. `scheme:folder` says the engine; without one the folder's files do."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelOptions(TypedDict, total=False):
    """Options of the engines. Each engine takes those that make sense for it and refuses the others."""

    long_documents: LongDocuments
    """`truncate` (default) scores the beginning and warns; `max_window` scores overlapping windows and keeps
    the best; `first_window` scores the beginning, as something you know and want."""
    max_length: int
    """Tokens the model may read of query and document together; default and limit are the model's own."""
    batch_tokens: int
    """Tokens, padding included, in one batch of the network: bounds memory, and changes no score."""
    threads: int
    """CPU threads of the engine (`onnx`); default: one per core."""
    keep_states: int
    """Bytes of document states to keep (`onnx`, networks that encode documents apart): in memory, or in `states_file`
    if one is given. Default 0: none in memory, no limit for a file."""
    states_file: str | os.PathLike[str]
    """A file for document states, shared by processes (`onnx`, the same networks)."""
    device: str
    """Where torch runs (`sentence-transformers`): "cpu", "cuda", "mps"..."""
    revision: str
    """Commit, tag or branch of a Hugging Face model (`sentence-transformers`)."""
    local_files_only: bool
    """Never ask the hub (`sentence-transformers`)."""
    trust_remote_code: bool
    """Run code that comes with the model (`sentence-transformers`). Off unless you say so."""


def load_scorer(model: Model = None, **options: Unpack[ModelOptions]) -> Scorer:
    """The scorer a name stands for; a `Scorer` comes back as it is.

    None is the bundled cross-encoder. A name is, in this order: `scheme:name`, a folder that exists, a
    Hugging Face id ("organisation/model", which downloads unless it is cached). A folder is
    read as what it holds: ONNX if there is a graph, else sentence-transformers.

    Raises UnknownModelError for anything else, and InputError for an option the engine doesn't have.
    """
    if model is None:
        model = f"resift:{BUNDLED[0]}"
    if not isinstance(model, str | os.PathLike):
        if options:
            raise InputError(f"{', '.join(options)}: options go to the engine that made the scorer, not beside it")
        return model
    scheme, name = _resolve(os.fspath(model))
    return _build(scheme, name, options)


def check_source(model: str) -> None:
    """Raises UnknownModelError unless the name is a folder or can be a Hugging Face id."""
    if not Path(model).is_dir() and not HUB_ID.fullmatch(model):
        raise UnknownModelError(f"{model!r} is neither a folder nor a Hugging Face id (organisation/model)")


def _resolve(model: str) -> tuple[str, str]:
    scheme, colon, name = model.partition(":")
    if colon and scheme == "resift":
        return "onnx", str(bundled_folder(name))
    if colon and scheme in ENGINES:
        return scheme, name
    if Path(model).is_dir():
        return _folder_engine(Path(model)), model
    if HUB_ID.fullmatch(model) and not Path(model).exists():
        return "st", model
    bundled = ", ".join(f"resift:{known}" for known in BUNDLED)
    raise UnknownModelError(
        f"{model!r} is no folder, no Hugging Face id (organisation/model) and has no scheme I know; "
        f"bundled: {bundled}; schemes: resift:, {', '.join(f'{known}:' for known in ENGINES)}"
    )


def _folder_engine(folder: Path) -> str:
    if (folder / "resift.json").exists() or any((folder / name).exists() for name in ("model.onnx", "onnx/model.onnx")):
        return "onnx"
    if (folder / "config.json").exists() or (folder / "modules.json").exists():
        return "st"
    raise ModelFileError(
        f"{folder} holds neither an exported model (resift.json or model.onnx) nor a Hugging Face one (config.json)"
    )


def _build(scheme: str, name: str, options: ModelOptions) -> Scorer:
    module, _, attribute = ENGINES[scheme].partition(":")
    engine: Any = getattr(import_module(module), attribute)
    known = list(inspect.signature(engine).parameters)[1:]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise InputError(f"{scheme}:{name} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    scorer: Scorer = engine(name, **options)
    return scorer
