"""The precisions a graph can be exported in. What each is worth is measured by benchmarks/precision.py.

float32       as traced
int8          weights alone are 8-bit and restored on loading: small files, float32's speed
int8-dynamic  matrix products in 8 bits, activations by their rows' own scales: faster

In all of them a score is free of the batch it was computed in.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from resift.errors import InputError
from resift.export.int8 import quantize_weights
from resift.export.products import quantize_products


def check_precision(precision: str) -> None:
    """Raises InputError for a precision there is not."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")


def quantize(path: Path, precision: str, *, narrow: int | None = None) -> None:
    """Rewrites the float32 graph at `path`. Embedding tables of `narrow` rows or more get 4 bits where others get 8.

    Raises InputError for a precision there is not.
    """
    check_precision(precision)
    PRECISIONS[precision](path, narrow)


def _as_traced(_: Path, __: int | None) -> None:
    pass


def _weights(path: Path, narrow: int | None) -> None:
    quantize_weights(path, narrow=narrow)


def _products(path: Path, narrow: int | None) -> None:
    quantize_products(path)
    quantize_weights(path, matrices=False, narrow=narrow)


PRECISIONS: dict[str, Callable[[Path, int | None], None]] = {
    "float32": _as_traced,
    "int8": _weights,
    "int8-dynamic": _products,
}
