"""Rows for bulk scoring, and how tests write and read them as JSONL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUERIES = ("what eats bamboo?", "where do foxes live?", "what fell on monday?")
DOCUMENTS = ("Pandas eat bamboo.", "The fox lives in a den.", "Stocks fell on Monday.", "", "Grüße, 東京")


def rows() -> list[dict[str, Any]]:
    """Return 57 rows, in which queries and documents repeat."""
    return [
        {"id": number, "query": QUERIES[number // 4 % 3], "document": DOCUMENTS[number % 5], "tags": ["a", None]}
        for number in range(57)
    ]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    files = [path] if path.is_file() else sorted(path.glob("part-*"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
