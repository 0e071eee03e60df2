"""The precisions that a graph can be exported in. benchmarks/precision.py measures what each costs and gains.

float32       as traced
int8          weights alone are 8-bit and restored on loading: small files, float32's speed
int8-dynamic  matrix products in 8 bits, activations by their rows' own scales: faster

In all of them a score does not depend on the other texts of its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from resift.errors import InputError
from resift.export.int8_products import quantize_products
from resift.export.int8_weights import quantize_weights


def check_precision(precision: str) -> None:
    """Raise InputError for an unknown precision."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")


def quantize(path: Path, precision: str, *, narrow: int | None = None) -> None:
    """Rewrite the float32 graph at `path`. Embedding tables of `narrow` rows or more get 4 bits where others get 8.

    Raises InputError for an unknown precision.
    """
    check_precision(precision)
    PRECISIONS[precision](path, narrow)


def _keep_float32(_: Path, __: int | None) -> None:
    pass


def _round_weights(path: Path, narrow: int | None) -> None:
    quantize_weights(path, narrow=narrow)


def _round_products(path: Path, narrow: int | None) -> None:
    quantize_products(path)
    quantize_weights(path, matrices=False, narrow=narrow)


PRECISIONS: dict[str, Callable[[Path, int | None], None]] = {
    "float32": _keep_float32,
    "int8": _round_weights,
    "int8-dynamic": _round_products,
}
