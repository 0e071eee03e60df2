"""What the HTTP client knows of a provider: its title, where its key is, and which errors no retry can fix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A company or a server program that answers over HTTP."""

    title: str
    """How errors name it."""
    key_variables: tuple[str, ...]
    """Environment variables that may hold the key; the first one that is set counts."""
    permanent_errors: Mapping[str, str] = field(default_factory=dict)
    """Part of an error message that no retry can fix → what the user can do about it."""
