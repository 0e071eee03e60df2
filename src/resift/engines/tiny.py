"""`resift:tiny`: the parts of the bundled models that cost next to nothing, as a reranker of their own.

The sparse encoder of `resift:small` says how strongly a document stands for the query's terms, and the table of
`resift:static` how alike the two are in meaning. No file of its own, and about a twentieth of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift._util.lru import LRUCache
from resift.engines.common.pipeline import BatchScorer, Counts, Pipeline
from resift.engines.split.reader import QUERIES, opener
from resift.engines.split.terms import Floats, SparseEncoder
from resift.errors import InputError
from resift.models.bundled import TINY_PARTS, bundled_folder
from resift.models.manifest import Manifest
from resift.scorer import LongDocuments, Request, Scale, Scores
from resift.text.table import pool_vectors
from resift.text.tokenizer import Ids, TextTemplate, TextTokenizer

BATCH_TOKENS = 2048
ROUND_TOKENS = 24_000  # while others wait: as soon over as the few thousand of a network of twenty times the work
READ = 256  # tokens of a document, as `resift:small` reads
ASKED = 512  # and of a query: what the sparse encoder has positions for
MEANING_WEIGHT, MATCHING_WEIGHT, SHIFT = (
    2.91,
    2.33,
    -3.56,
)  # fitted on candidates of ten development collections: docs/models.md


class TinyScorer:
    """Scores with the sparse encoder and the static table that the wheel brings. Scores are logits.

    Safe to use from any number of threads. Raises ModelFileError when a bundled file is damaged.
    """

    scale = Scale.LOGIT
    engine = "tiny"
    name = "resift:tiny"
    round_tokens = ROUND_TOKENS

    def __init__(
        self,
        *,
        long_documents: LongDocuments = "truncate",
        max_length: int = READ,
        batch_tokens: int = BATCH_TOKENS,
        threads: int | None = None,
    ) -> None:
        if not 1 <= max_length <= READ:
            raise InputError(f"{self.name} reads 1 to {READ} tokens, not max_length={max_length}")
        parts = {bundled_folder(name): files for name, files in TINY_PARTS.items()}
        folder, static = parts
        sums = [Manifest.read(one, files).fingerprint_of(files) for one, files in parts.items()]
        self.long_documents = long_documents
        self.max_length = max_length
        self.identity = (
            f"{self.engine} {' '.join(sums)} {MEANING_WEIGHT} {MATCHING_WEIGHT} {max_length} {long_documents}"
        )
        self._options: dict[str, Any] = {
            "long_documents": long_documents,
            "max_length": max_length,
            "batch_tokens": batch_tokens,
            "threads": threads,
        }
        tokenizer = TextTokenizer.load(folder / "tokenizer.json")
        network = _Network(
            SparseEncoder.load(folder, opener(threads)),
            np.load(static / "table.npy", mmap_mode="r"),
            np.load(static / "scales.npy"),
            tokenizer.text_template(),
            max_length,
        )
        self._pipeline = Pipeline(tokenizer, network, long_documents, batch_tokens)

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One logit per document. Raises InputError when the query alone is longer than the model reads."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, their documents batched together."""
        return self._pipeline.score(requests)

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), **self._options), ())


@dataclass(frozen=True, slots=True)
class _Network:
    terms: SparseEncoder
    table: NDArray[np.int8]
    scales: Floats
    template: TextTemplate
    limit: int
    recent: LRUCache[bytes, Floats] = field(default_factory=lambda: LRUCache(QUERIES))

    def max_document_tokens(self, query_tokens: int) -> int:
        """As for every network that encodes query and document apart."""
        special = self.template.special_token_count
        return self.limit - special if query_tokens + special <= ASKED else 0

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:  # noqa: ARG002 - encoded before
        """Return the tokens computed for each pair, (pairs,): those of the document alone."""
        return document_tokens + self.template.special_token_count

    def prepare(self, queries: Sequence[Ids]) -> BatchScorer:
        """Encodes every query once, also where its documents come in several rounds."""
        vectors = pool_vectors(self.table, self.scales, queries)
        sought = np.stack(self.recent.find([query.tobytes() for query in queries], self._sought))

        def run(rows: Sequence[tuple[int, Ids]]) -> Floats:
            owners, documents = [number for number, _ in rows], [document for _, document in rows]
            ids = self.template.assemble(documents)
            matching = self.terms.match(sought[owners], self.terms.encode(ids), ids != 0)
            meaning = (vectors[owners] * pool_vectors(self.table, self.scales, documents)).sum(1)
            logits: Floats = MEANING_WEIGHT * meaning + MATCHING_WEIGHT * matching + np.float32(SHIFT)
            return logits

        return run

    def _sought(self, keys: Sequence[bytes]) -> list[Floats]:
        queries = [np.frombuffer(key, np.int32) for key in keys]
        return [self.terms.expand(self.terms.encode(self.template.assemble([query]))[0]) for query in queries]
