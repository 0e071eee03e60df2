"""Chroma's filters, `where` and `where_document`, checked when they are given."""

from __future__ import annotations

import math
from typing import Any

from chromadb.api.types import validate_where, validate_where_document

from resift._util.arguments import shown
from resift.errors import InputError

JOINING = ("$and", "$or")
WHOLE_NUMBERS = range(-(2**63), 2**63)  # what Chroma holds
ORDERING = ("$gt", "$gte", "$lt", "$lte")


def check_filters(where: Any, where_document: Any) -> None:
    """Raise InputError for a filter that Chroma doesn't take, in its own words where it has any."""
    for name, value, validate in (
        ("where", where, validate_where),
        ("where_document", where_document, validate_where_document),
    ):
        if value is None:
            continue
        try:
            validate(value)
            _check_values(value, name)
            if name == "where":
                _check_keys(value)
        except InputError:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise InputError(f"{name}={shown(value, 200)}: Chroma takes no such filter: {reason}") from error


def _check_keys(where: dict[str, Any]) -> None:
    for key, inner in where.items():
        if key in JOINING:
            for expression in inner:
                _check_keys(expression)
        elif key.startswith("$"):
            raise InputError(f"where: {key} is no operator of Chroma at this place")
        elif isinstance(inner, dict):
            operator, value = next(iter(inner.items()))
            if operator in ORDERING and isinstance(value, bool):
                raise InputError(f"where: {operator} compares numbers, and {value} is none")


def _check_values(value: Any, name: str) -> None:
    """Look for what passes Chroma's own check and is refused later, without a reason."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_values(key, name)
            _check_values(inner, name)
    elif isinstance(value, list):
        for item in value:
            _check_values(item, name)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name}: {shown(value)} has half a surrogate pair, which no database holds") from None
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name}: {value} is no number that is stored, so nothing can equal it")
    elif isinstance(value, int) and value not in WHOLE_NUMBERS:
        raise InputError(f"{name}: {value} is more than the 64 bits that Chroma holds of a whole number")
