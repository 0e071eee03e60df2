"""The models that travel in the wheel, one folder each, with a manifest (`resift.json`) that names their files."""

from __future__ import annotations

from pathlib import Path

from resift.errors import UnknownModelError

BUNDLED = ("small",)
"""Cross-encoders, the default first."""
STATIC = "static"
"""The bi-encoder."""


def bundled_folder(name: str) -> Path:
    """Where a bundled model lies. Raises UnknownModelError, listing what there is.

    >>> bundled_folder("small").name
    'small'
    """
    if name not in (*BUNDLED, STATIC):
        known = ", ".join(f"resift:{known}" for known in (*BUNDLED, STATIC))
        raise UnknownModelError(f"there is no bundled model resift:{name}; there is {known}")
    return Path(__file__).parent / name
