"""Reads folders of judged collections for the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resift.evaluation import Collection, read_collection


@dataclass(frozen=True)
class Judged:
    """A collection, and the candidates that come with it."""

    collection: Collection
    stage: str
    """The path of its `candidates.jsonl`, or `bm25` if it has none."""
    official: bool
    """True if it has `qrels.full.tsv`: the judgements of a larger collection, of which this folder holds a part."""

    @classmethod
    def read(cls, folder: Path) -> Judged:
        """Read a folder, with the official judgements if it has them (`qrels.full.tsv`)."""
        full, candidates = folder / "qrels.full.tsv", folder / "candidates.jsonl"
        collection = read_collection(folder, full if full.is_file() else None)
        return cls(collection, str(candidates) if candidates.is_file() else "bm25", full.is_file())

    @property
    def pool(self) -> bool:
        """Return whether the candidates are exactly the judged documents, so that their order means nothing."""
        if self.stage == "bm25":
            return False
        rows = [json.loads(line) for line in Path(self.stage).read_text(encoding="utf-8").splitlines()]
        rows = [row for row in rows if row["qid"] in self.collection.qrels]
        return all(set(row["docids"]) <= set(self.collection.qrels[row["qid"]]) for row in rows)


def folders(data: Path) -> Iterator[Path]:
    """Return every folder in `data` that holds a collection, sorted by name."""
    return iter(sorted(path.parent for path in data.glob("*/corpus.jsonl")))
