"""From a bi-encoder's name to the bi-encoder: the only place that knows them all."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from resift.embedders.embedder import Embedder
from resift.errors import UnknownModelError
from resift.models.bundled import SCHEME
from resift.models.contents import check_exported
from resift.models.manifest import Manifest

BUNDLED_EMBEDDERS = {
    "static": "resift.embedders.static:StaticEmbedder",
    "dense": "resift.embedders.dense:DenseEmbedder",
    "multilingual": "resift.embedders.dense:DenseEmbedder",
}
"""name → bi-encoder that comes with resift, by import path, the default first: each is imported when it is used."""
BY_NAME = ("multilingual",)
"""Of these, what is no default of its class, which takes the name."""


def load_embedder(model: str | os.PathLike[str] | None = None) -> Embedder:
    """Return the bi-encoder that a name stands for.

    Args:
        model: `resift:static` (None too), `resift:dense`, `resift:multilingual`, or a folder that holds either kind.

    Returns:
        A `StaticEmbedder` or a `DenseEmbedder`.

    Raises:
        UnknownModelError: The name is neither a folder nor one of the bundled bi-encoders.
        MissingExtraError: The files of `resift:multilingual` are not installed.
        ModelFileError: The folder is incomplete or damaged, or holds another kind of model.

    >>> load_embedder().name, load_embedder("resift:dense").name
    ('resift:static', 'resift:dense')
    """
    named = os.fspath(model or full_name(next(iter(BUNDLED_EMBEDDERS))))
    if named.startswith(SCHEME):
        name = named.removeprefix(SCHEME)
        if name not in BUNDLED_EMBEDDERS:
            raise UnknownModelError(f"there is no bundled bi-encoder {named}; there is {_known()}")
        return _build(name, full_name(name) if name in BY_NAME else None)
    folder = Path(named)
    if not folder.is_dir():
        raise UnknownModelError(f"{str(model)!r} is neither a folder nor one of {_known()}")
    check_exported(folder)
    return _build("static" if Manifest.peek(folder).kind == "static" else "dense", folder)


def _known() -> str:
    return ", ".join(map(full_name, BUNDLED_EMBEDDERS))


def full_name(bi_encoder: str) -> str:
    """Return a bi-encoder as `load_embedder` takes it.

    Args:
        bi_encoder: A name in `BUNDLED_EMBEDDERS`, or a folder.

    >>> full_name("dense"), full_name("my-encoder")
    ('resift:dense', 'my-encoder')
    """
    return f"{SCHEME}{bi_encoder}" if bi_encoder in BUNDLED_EMBEDDERS else bi_encoder


def _build(kind: str, folder: str | Path | None) -> Embedder:
    module, _, name = BUNDLED_EMBEDDERS[kind].partition(":")
    embedder: Embedder = getattr(import_module(module), name)(folder)
    return embedder
