"""Loads a cross-encoder of sentence-transformers, for the engine and for export: whole, trained, with its tokenizer."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder

from resift._util.model_files import RUN_GIT_LFS, has_file
from resift.engines.common.pairs import check_labels, position_limit
from resift.engines.pytorch.head import OPTION, check_head, contents_of, no_report
from resift.engines.pytorch.own_tokenizer import read_own_tokenizer, set_own_tokenizer
from resift.engines.pytorch.source import ModelSource
from resift.errors import ModelFileError
from resift.models.contents import git_lfs_pointers, label_names


def load_cross_encoder(source: ModelSource, *, allow_untrained_head: bool, **options: Any) -> CrossEncoder:
    """Return the cross-encoder, with the tokenizer of its folder.

    Args:
        source: Where it comes from.
        allow_untrained_head: Whether weights may be missing, which are random then.
        options: Further arguments of `CrossEncoder`.

    Returns:
        The model, ready to score.

    Raises:
        ModelFileError: It can't be loaded, or is no reranker; the message says what it is.
        InputError: Its own code may run, but is not pinned.
    """
    config = source.read_config()
    if not allow_untrained_head:
        refuse_parts(source, config)
    try:
        with nullcontext() if allow_untrained_head else no_report():
            model: CrossEncoder = CrossEncoder(source.name, **source.load_options(), **options)
    except Exception as error:  # the hub, torch and model classes raise all kinds of errors; callers catch one
        raise load_error(source, config, "sentence-transformers", error) from error
    if not allow_untrained_head:
        check_head(model.transformers_model, source)
    check_labels(model.num_labels, source.name, label_names(model.config.to_dict()) if model.config else [])
    set_own_tokenizer(model[0], source)
    if model.tokenizer is not None and getattr(model.tokenizer, "pad_token", "") is None:
        # sentence-transformers asks for one, whatever is padded; padding is masked, or there is none (`lacks_padding`).
        model.tokenizer.pad_token = model.tokenizer.eos_token or model.tokenizer.convert_ids_to_tokens(0)
    if model.config is not None and model.max_seq_length is not None and model.max_seq_length < 1:
        model.max_seq_length = position_limit(model.config.to_dict())  # no limit, written as 0 or -1
    model.eval()
    return model


def refuse_parts(source: ModelSource, config: dict[str, Any]) -> None:
    """Raise ModelFileError for a folder that holds no whole model: an adapter, a tokenizer, weights of other kinds."""
    if not source.is_folder:
        return
    contents = contents_of(source, config)
    if contents.kind == "other" and not has_file(Path(source.name), "config.json"):
        raise ModelFileError(f"{source.name} is no reranker: it holds {contents.what}; {contents.use}")
    if contents.what.startswith("an adapter"):
        raise ModelFileError(f"{source.name} is no reranker: it holds {contents.what}; {contents.use}. {OPTION}")


def load_error(source: ModelSource, config: dict[str, Any], library: str, error: Exception) -> ModelFileError:
    """Return the error for a model that a library can't load: which file is wrong, or what the model is instead."""
    told = f"{source.name} can't be loaded by {library}: {str(error) or type(error).__name__}"
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and positions < 1:
        told += (
            f"; config.json has max_position_embeddings={positions}: write the number of tokens it reads, such as 512"
        )
    if not source.is_folder:
        return ModelFileError(told if source.offline is None else f"{told} ({source.offline})")
    pointers = git_lfs_pointers(Path(source.name))
    if pointers:
        return ModelFileError(
            f"{source.name} can't be loaded: of {', '.join(pointers)} there is only a git-lfs pointer; {RUN_GIT_LFS}"
        )
    try:
        read_own_tokenizer(source)
    except ModelFileError as unreadable:
        return unreadable
    contents = contents_of(source, config)
    if contents.kind == "reranker":
        return ModelFileError(told)
    return ModelFileError(
        f"{source.name} is no reranker: it holds {contents.what}; {contents.use}. ({library}: {error})"
    )
