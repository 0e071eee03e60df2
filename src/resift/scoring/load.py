"""From a model's name to a scorer: the only place that knows the engines, each imported when it is used."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from resift._util.arguments import SYNONYMS, did_you_mean
from resift.errors import InputError, UnknownModelError
from resift.models.bundled import BUNDLED, FAST, RERANKERS, TINY, bundled_folder
from resift.models.options import HUB_ID, Model, ModelOptions, check_option_kinds
from resift.models.prompts import PROMPTS
from resift.scorer import Scale, Scorer, no_instruction

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENGINES = {
    "onnx": "resift.engines.onnx:OnnxScorer",
    "openvino": "resift.engines.openvino:OpenVINOScorer",
    "colbert": "resift.engines.pytorch.late_interaction:LateInteractionScorer",
    "st": "resift.engines.pytorch.sentence_transformers:SentenceTransformersScorer",
    "lm": "resift.engines.pytorch.generative:GenerativeScorer",
    "openai": "resift.services.llm.endpoint:openai_scorer",
    "cohere": "resift.services.rerank.factories:cohere",
    "jina": "resift.services.rerank.factories:jina",
    "voyage": "resift.services.rerank.factories:voyage",
    "mixedbread": "resift.services.rerank.factories:mixedbread",
    "contextual": "resift.services.rerank.factories:contextual",
    "tei": "resift.services.rerank.factories:tei",
    "vllm": "resift.services.rerank.factories:vllm",
    "infinity": "resift.services.rerank.factories:infinity",
    "llamacpp": "resift.services.rerank.factories:llamacpp",
    "nim": "resift.services.rerank.factories:nim",
    "compatible": "resift.services.rerank.factories:compatible",
}
"""scheme → engine, by import path. `scheme:folder` says the engine; without a scheme the folder's files do."""
CALL_OPTIONS = ("top_k", "min_relevance", "deadline")
"""Options of a ranking, which are none of an engine."""
HUB_ENGINES = ("onnx", "openvino", "colbert", "st", "lm")
WITHOUT_FOLDER = {TINY: "resift.engines.tiny:TinyScorer", FAST: "resift.scoring.fast:FastScorer"}
"""Bundled model that has no folder of its own → its engine."""


PLUGINS = "resift.scorers"
"""Entry-point group: a package of yours that names `scheme = "package.module:factory"` there adds a scheme. The factory
is called with the name after the colon, and with options it has as keyword-only parameters; it returns a `Scorer`."""


def load_scorer(model: Model = None, **options: Unpack[ModelOptions]) -> Scorer:
    """Return the scorer a name stands for; a `Scorer` comes back as it is.

    A name is, in this order: `scheme:name`, a folder that exists, a Hugging Face id ("organisation/model", which
    downloads unless it is cached). A folder is read as what it holds: a language model, else ONNX if there is a graph,
    late interaction if it was saved as such, else sentence-transformers; an id goes where the catalogue says, else to
    sentence-transformers. A template's name is a scheme too: `monot5:folder`. Installed packages may add schemes
    (`PLUGINS`).

    Args:
        model: None for the bundled cross-encoder, a name, or a `Scorer`.
        **options: Options of the engine: see `ModelOptions`.

    Raises:
        UnknownModelError: A name that stands for nothing.
        InputError: An option the engine doesn't have, or an object that is no scorer.
        ModelFileError: A model that can't be loaded.
        MissingExtraError: The engine's library isn't installed.
    """
    if model is None:
        model = f"resift:{BUNDLED[0]}"
    if not isinstance(model, str | os.PathLike):
        scorer = check_scorer(model)
        if options:
            raise InputError(f"{', '.join(options)}: options go to the engine that made the scorer, not beside it")
        return scorer
    model = os.fspath(model)
    bundled = model.removeprefix("resift:")
    if bundled != model and bundled in WITHOUT_FOLDER:
        return _build(_load_engine(WITHOUT_FOLDER[bundled]), model, [], options)
    scheme, *name = _resolve(model, options.get("trust_remote_code", False))
    if scheme in HUB_ENGINES and not options.get("trust_remote_code") and _is_hub_id(name[0]):
        _check_hub(name[0], options.get("local_files_only", False))
    if scheme in ENGINES:
        return _build(_load_engine(ENGINES[scheme]), model, name, options)
    return _build(_load_plugin(scheme), model, name, options, own=False)


def _check_hub(model: str, local_files_only: bool) -> None:
    """Raise ModelFileError for a hub model that can't be had, before its engine is imported, which takes seconds."""
    try:
        from resift.engines.hub import check_available
    except ImportError:  # the engine names the extra that brings the hub's library
        return
    check_available(model, local_files_only)


def check_scorer(model: Any) -> Scorer:
    """Return the object. Raises InputError unless it has what every scorer has."""
    lacking = [name for name in ("name", "scale", "score") if not hasattr(model, name)]
    if lacking:
        raise InputError(
            f"model is a {type(model).__name__} without {', '.join(lacking)}: give a model's name, or an object with "
            "name, scale and score(query, documents)"
        )
    if not isinstance(model.scale, Scale):
        raise InputError(
            f"the scorer {model.name!r} has scale={model.scale!r}, which must be one of resift.Scale, "
            f"as in Scale({str(Scale.LOGIT)!r})"
        )
    scorer: Scorer = model
    return scorer


@cache
def _plugins() -> Mapping[str, EntryPoint]:
    """Scheme → entry point of a factory, of the packages that are installed."""
    from importlib.metadata import entry_points  # not at the top: it takes 20 ms, and few names need it

    return {plugin.name: plugin for plugin in entry_points(group=PLUGINS)}


def plugin_schemes() -> Mapping[str, str]:
    """Return the schemes that installed packages add, each with the package that brings it."""
    return {
        scheme: plugin.dist.name if plugin.dist is not None else plugin.value
        for scheme, plugin in _plugins().items()
        if scheme not in ("resift", *ENGINES, *PROMPTS)
    }


def _load_plugin(scheme: str) -> Any:
    """Return the factory of an installed package. Raises UnknownModelError where the package is broken."""
    plugin = _plugins()[scheme]
    try:
        return plugin.load()
    except Exception as error:  # a stranger's package may raise anything while it is imported
        raise UnknownModelError(
            f"scheme {scheme}: can't be used, since {plugin.value} can't be imported: {type(error).__name__}: {error}"
        ) from error


def schemes() -> list[str]:
    """Return every scheme that a name may begin with, those of installed packages last."""
    return list(dict.fromkeys(["resift", *ENGINES, *PROMPTS, *_plugins()]))


def _resolve(model: str, remote_code: bool) -> tuple[str, ...]:
    """Return the scheme, the name, and a template's name where that was the scheme."""
    scheme, colon, name = model.partition(":")
    if colon and scheme == "resift":
        return "onnx", str(bundled_folder(name))
    if colon and scheme in ENGINES:
        if ENGINES[scheme].startswith("resift.engines."):
            _check_path(name, model)
        return scheme, name
    if colon and scheme in PROMPTS:
        _check_path(name, model)
        return "lm", name, scheme
    from resift.models.detect import folder_engine, hub_engine  # imported late: a scheme says the engine

    if _is_folder(model):
        return folder_engine(Path(model)), model
    if _is_hub_id(model):
        return hub_engine(model, remote_code=remote_code), model
    if colon and scheme in _plugins():
        return scheme, name
    if _is_file(model):
        served = "serve it with llama-server, and name the server: llamacpp:http://localhost:8080"
        cure = served if model.endswith(".gguf") else f"give the folder that it is in: {Path(model).parent}"
        raise UnknownModelError(f"{model!r} is a file, and a model is a folder: {cure}")
    bundled = ", ".join(f"resift:{known}" for known in RERANKERS)
    known_schemes = ", ".join(f"{known}:" for known in schemes())
    raise UnknownModelError(
        f"{model[:200]!r} is no folder, no Hugging Face id (organisation/model) and has no scheme I know; "
        f"bundled: {bundled}; schemes: {known_schemes}"
    )


def _is_hub_id(model: str) -> bool:
    return HUB_ID.fullmatch(model) is not None and not Path(model).exists()


def _check_path(name: str, model: str) -> None:
    """Raise UnknownModelError for what no file system takes as a name, before an engine looks for it."""
    try:
        os.lstat(name)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise UnknownModelError(f"{model[:200]!r} can't be the name of a model: {str(error)[:80]}") from None


def _is_file(model: str) -> bool:
    try:
        return Path(model).is_file()
    except (OSError, ValueError):
        return False


def _is_folder(model: str) -> bool:
    try:
        return Path(model).is_dir()
    except (OSError, ValueError):  # a name too long for the file system, or with a null character
        return False


def _load_engine(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


def _build(engine: Any, label: str, name: list[str], options: ModelOptions, *, own: bool = True) -> Scorer:
    """Return the scorer that an engine makes. `own`: whether the engine is one of this package."""
    parameters = inspect.signature(engine).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    unknown = [] if takes_any else [option for option in options if option not in known]
    if "instruction" in unknown:
        raise no_instruction(label)
    if unknown:
        meant = dict.fromkeys(SYNONYMS.get(option.lower(), option) for option in unknown)
        of_a_call = [option for option in meant if option in CALL_OPTIONS]
        if of_a_call:
            raise InputError(
                f"{label} has no option {', '.join(unknown)}: {', '.join(of_a_call)} is given to Reranker(...) or to "
                "each call"
            )
        hint = did_you_mean(unknown, known)
        raise InputError(f"{label} has no option {', '.join(unknown)}{hint}; it has {', '.join(known) or 'none'}")
    if own:
        by_default = {parameter.name for parameter in parameters if parameter.default is None}
        check_option_kinds(
            {name: value for name, value in options.items() if value is not None or name not in by_default}
        )
    return check_scorer(engine(*name, **options))


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
