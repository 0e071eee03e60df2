"""Whoever answers over HTTP: its title, its keys' variables, and the errors no retry mends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Whoever answers over HTTP."""

    title: str
    variables: tuple[str, ...]
    """Environment variables that may hold the key; the first one that is set counts."""
    permanent: Mapping[str, str] = field(default_factory=dict)
    """What an error says that is never worth another try → the way out."""
