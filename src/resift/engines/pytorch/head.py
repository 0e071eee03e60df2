"""Whether a loaded model has learned to score: weights that its files lack are random numbers, others at every load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from transformers import PreTrainedModel
from transformers.utils import logging
from transformers.utils.import_utils import is_accelerate_available

from resift.engines.pytorch.source import ModelSource
from resift.errors import ModelFileError
from resift.models.contents import Contents, describe_config, describe_folder, read_json

WEIGHTS_SHOWN = 3
OPTION = "allow_untrained_head=True loads it all the same"
"""What a message ends with."""
CAUSAL = ("ForCausalLM", "LMHeadModel")


def check_head(model: PreTrainedModel | None, source: ModelSource) -> None:
    """Raise ModelFileError for a model that can't score: one that lacks trained weights, or is of another kind.

    Args:
        model: The network, as transformers loaded it; None for a network that is not transformers' own.
        source: Where it comes from.

    Raises:
        ModelFileError: The message says what the model is, and what it can be used for.
    """
    if model is None:
        return
    contents = contents_of(source, model.config.to_dict())
    missing = missing_weights(model, source)
    if missing:
        raise untrained_error(missing, source, model.config.to_dict())
    is_generator = type(model).__name__.endswith(CAUSAL)
    # Some architectures have weights of the same names for labels of words, and any language model can say "yes".
    if contents.kind == "task" or (is_generator and contents.kind in ("bi-encoder", "sparse")):
        raise ModelFileError(f"{source.name} is no reranker: it holds {contents.what}; {contents.use}. {OPTION}")


def untrained_error(missing: list[str], source: ModelSource, config: dict[str, Any]) -> ModelFileError:
    """Return the error for a model whose files lack these weights."""
    contents = contents_of(source, config)
    more = "" if len(missing) <= WEIGHTS_SHOWN else f" and {len(missing) - WEIGHTS_SHOWN} more"
    is_named_so = contents.kind == "reranker"
    what = "incomplete" if is_named_so else "no reranker"
    use = "copy the model again, or train it (`resift train --base`)" if is_named_so else contents.use
    return ModelFileError(
        f"{source.name} is {what}: it holds {contents.what}, without weights for "
        f"{', '.join(missing[:WEIGHTS_SHOWN])}{more}, which would be random numbers, others at every load; "
        f"{use}. {OPTION}"
    )


def missing_weights(model: PreTrainedModel, source: ModelSource) -> list[str]:
    """Return the names of the matrices that the model's files lack, and that are random numbers therefore.

    Where the names in the files don't settle it, since they may be older ones, transformers' loading report does.
    """
    headless = type(model).__name__.endswith("Model")  # nothing reads its pooler
    needed = {name for name in matrices(model) if not (headless and "pooler" in name)}
    return [] if needed <= stored_names(source) else sorted(needed & reported_missing(model, source))


def matrices(model: PreTrainedModel) -> set[str]:
    """Return the names of the parameters that begin as random numbers; vectors begin as zeros or ones."""
    return {name for name, parameter in model.named_parameters() if parameter.ndim > 1}


def stored_names(source: ModelSource) -> set[str]:
    """Return the names of the weights in the model's safetensors files; none where there are none."""
    whole, index = (locate(source, name) for name in ("model.safetensors", "model.safetensors.index.json"))
    if whole is not None:
        with safe_open(whole, "pt") as file:
            return set(file.keys())
    return set() if index is None else set(read_json(index).get("weight_map", {}))


def reported_missing(model: PreTrainedModel, source: ModelSource) -> set[str]:
    """Return the names of missing weights by transformers' loading report, for which the model is loaded once more."""
    options = {**source.load_options(), "local_files_only": True}
    if is_accelerate_available():
        options["device_map"] = "meta"  # reads no numbers
    with no_report():
        loaded: Any = type(model).from_pretrained(source.name, config=model.config, output_loading_info=True, **options)
    _, report = loaded
    return set(report["missing_keys"])


@contextmanager
def no_report() -> Iterator[None]:
    """Keep transformers from logging its loading report: what is missing is said by an error here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(max(verbosity, ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def locate(source: ModelSource, name: str) -> Path | None:
    """Return the path of one of the model's files, in its folder or in the hub's cache; None where there is none."""
    if source.is_folder:
        path = Path(source.name) / name
        return path if path.is_file() else None
    cached = try_to_load_from_cache(source.name, name, revision=source.revision)
    return Path(cached) if isinstance(cached, str) else None


def contents_of(source: ModelSource, config: dict[str, Any]) -> Contents:
    """Return what the model's files say it is: those of the folder, or of the hub's cache."""
    if source.is_folder:
        return describe_folder(Path(source.name))
    cached = locate(source, "config.json")
    folder = "FOLDER" if cached is None else str(cached.parent)
    contents = describe_config(config) if cached is None else describe_folder(cached.parent)
    return contents._replace(use=contents.use.replace(folder, source.name))
