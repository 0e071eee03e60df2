"""A checksum of all that a run's result depends on, so that a folder refuses to go on with another run's work."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict


def run_key(*parts: object) -> str:
    """Return the SHA-256 of settings and data: of dataclasses, lists, texts and numbers, in this order."""
    return hashlib.sha256(json.dumps(parts, default=asdict).encode()).hexdigest()
