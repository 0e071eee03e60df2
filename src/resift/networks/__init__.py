"""The torch networks that `export` writes as graphs and `training` trains. Needs `pip install 'resift[export]'`."""

from __future__ import annotations

from resift.errors import MissingExtraError

try:
    # For every module of the package at once: this runs before any of them.
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as error:
    raise MissingExtraError("a network of torch", "export") from error
