"""Folders of judged collections as the benchmarks read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resift.evaluation import Collection, read_collection


@dataclass(frozen=True)
class Judged:
    """A collection, and the candidates that came with it."""

    collection: Collection
    stage: str
    """Its `candidates.jsonl`, or `bm25` where it has none."""
    official: bool
    """Whether it was judged on a run of others (`qrels.full.tsv`), of which the documents here are a part."""

    @classmethod
    def read(cls, folder: Path) -> Judged:
        """With the official judgements, where the folder's own are a part of them."""
        full, given = folder / "qrels.full.tsv", folder / "candidates.jsonl"
        collection = read_collection(folder, full if full.is_file() else None)
        return cls(collection, str(given) if given.is_file() else "bm25", full.is_file())

    @property
    def pool(self) -> bool:
        """Whether the candidates are just what was judged, so that their order means nothing."""
        if self.stage == "bm25":
            return False
        rows = [json.loads(line) for line in Path(self.stage).read_text(encoding="utf-8").splitlines()]
        rows = [row for row in rows if row["qid"] in self.collection.qrels]
        return all(set(row["docids"]) <= set(self.collection.qrels[row["qid"]]) for row in rows)


def folders(data: Path) -> Iterator[Path]:
    """Every folder of `data` that holds a collection."""
    return iter(sorted(path.parent for path in data.glob("*/corpus.jsonl")))
