"""The models that travel in the wheel, one folder each, with a manifest (`resift.json`) that names their files."""

from __future__ import annotations

from pathlib import Path

from resift.errors import UnknownModelError
from resift.models.manifest import TERMS, VOCABULARY

BUNDLED = ("small",)
"""Cross-encoders, the default first."""
STATIC = "static"
"""The bi-encoder that is a table of its own."""
DENSE = "dense"
"""The bi-encoder that is the default cross-encoder's encoder, and has no folder of its own."""
TINY = "tiny"
"""The reranker made of parts of the others, which has no folder of its own either."""
TINY_PARTS = {
    BUNDLED[0]: (TERMS, VOCABULARY, "tokenizer.json"),
    STATIC: ("table.npy", "scales.npy"),
}
"""Folder → its files that `tiny` reads."""


def bundled_folder(name: str) -> Path:
    """Where a bundled model lies. Raises UnknownModelError, listing what there is.

    >>> bundled_folder("small").name
    'small'
    """
    if name == DENSE:
        raise UnknownModelError(f"resift:{DENSE} is a bi-encoder, the encoder of resift:{BUNDLED[0]}: it embeds texts")
    if name == TINY:
        raise UnknownModelError(f"resift:{TINY} is made of parts of resift:{BUNDLED[0]} and has no folder of its own")
    if name not in (*BUNDLED, STATIC):
        known = ", ".join(f"resift:{known}" for known in (*BUNDLED, TINY, STATIC))
        raise UnknownModelError(f"there is no bundled model resift:{name}; there is {known}")
    return Path(__file__).parent / name
