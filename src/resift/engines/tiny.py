"""The engine of `resift:tiny`: a reranker made of the cheapest parts of the two other bundled models.

The sparse encoder of `resift:small` measures how well a document matches the query's terms, the token table of
`resift:static` how similar the two are in meaning. It has no files of its own, and about a twentieth of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from resift._util.lru import LRUCache
from resift.engines.common.known_scores import check_known_scores
from resift.engines.common.pipeline import BatchScorer, Counts, Pipeline
from resift.engines.split.reader import CACHED_QUERIES, graph_opener
from resift.engines.split.sparse_encoder import Floats, SparseEncoder
from resift.errors import InputError
from resift.models.bundled import TINY, TINY_PARTS, bundled_folder
from resift.models.manifest import Manifest
from resift.models.options import ControlTokens
from resift.scorer import LongDocuments, Request, Scale, ScorerBase, Scores
from resift.text.language import EnglishCheck
from resift.text.table import SCALES, TABLE, TokenTable
from resift.text.tokenizer import Ids, TextTemplate, TextTokenizer

BATCH_TOKENS = 2048
ROUND_TOKENS = 24_000  # in one round while other calls wait: takes as long as a few thousand of `resift:small`
MAX_DOCUMENT_TOKENS = 256  # as `resift:small`
MAX_QUERY_TOKENS = 512  # the positions of the sparse encoder
# Fitted on candidates of ten development collections: docs/models.md.
MEANING_WEIGHT, MATCHING_WEIGHT, SHIFT = 2.91, 2.33, -3.56


class TinyScorer(ScorerBase):
    """Scores with the bundled sparse encoder and the bundled token table.

    Scores are float32 logits and don't depend on the batch they were computed in. Any number of threads may use it.

    Args:
        long_documents: "max_window" scores overlapping windows of a long document and takes the best, "truncate" scores
            its beginning and warns, "first_window" scores its beginning without a warning.
        max_length: Tokens to read of a document, 1 to 256.
        batch_tokens: Tokens in one batch, padding included. Bounds memory, changes no score.
        control_tokens: "text" reads a special token that a text spells, such as `[SEP]`, as its letters, "model" as the
            token itself.
        threads: CPU threads. Default: one per core.

    Raises:
        ModelFileError: A bundled file is damaged.
        InputError: An option is out of range.
    """

    scale = Scale.LOGIT
    engine = "tiny"
    name = "resift:tiny"
    round_tokens = ROUND_TOKENS

    def __init__(
        self,
        *,
        long_documents: LongDocuments = "max_window",
        max_length: int = MAX_DOCUMENT_TOKENS,
        batch_tokens: int = BATCH_TOKENS,
        control_tokens: ControlTokens = "text",
        threads: int | None = None,
    ) -> None:
        if not 1 <= max_length <= MAX_DOCUMENT_TOKENS:
            raise InputError(f"{self.name} reads 1 to {MAX_DOCUMENT_TOKENS} tokens, not max_length={max_length}")
        files_by_folder = {bundled_folder(name): files for name, files in TINY_PARTS.items()}
        folder, static_folder = files_by_folder
        manifests = [Manifest.read(part, files) for part, files in files_by_folder.items()]
        manifest, static_manifest = manifests
        fingerprints = [
            manifest.fingerprint_of(files) for manifest, files in zip(manifests, TINY_PARTS.values(), strict=True)
        ]
        self.long_documents = long_documents
        self.max_length = max_length
        self.identity = (
            f"{self.engine} {' '.join(fingerprints)} {MEANING_WEIGHT} {MATCHING_WEIGHT} {max_length} {long_documents}"
        )
        if control_tokens != "text":
            self.identity += f" control_tokens={control_tokens}"
        self._options: dict[str, Any] = {
            "long_documents": long_documents,
            "max_length": max_length,
            "batch_tokens": batch_tokens,
            "control_tokens": control_tokens,
            "threads": threads,
        }
        tokenizer = TextTokenizer.load(manifest.locate(folder, "tokenizer.json"), control_tokens=control_tokens)
        table, scales = (static_manifest.locate(static_folder, name) for name in (TABLE, SCALES))
        network = TinyNetwork(
            SparseEncoder.load(folder, manifest, graph_opener(threads)),
            TokenTable.load(table, scales, tokenizer),
            tokenizer.text_template(),
            max_length,
        )
        check_known_scores(TINY, network, tokenizer, f"onnxruntime {onnxruntime.__version__}")
        self.pipeline = Pipeline(tokenizer, network, long_documents, batch_tokens, english=EnglishCheck(tokenizer))

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one logit per document for each request, all documents batched together.

        Raise InputError if the query alone is longer than the model reads.
        """
        return self.pipeline.score(requests)

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), **self._options), ())


@dataclass(frozen=True, slots=True)
class TinyNetwork:
    """Scores a pair by the document's match with the query's terms and the similarity of both in the token table."""

    terms: SparseEncoder
    table: TokenTable
    template: TextTemplate
    max_length: int
    query_cache: LRUCache[bytes, Floats] = field(default_factory=lambda: LRUCache(CACHED_QUERIES))

    def max_document_tokens(self, query_tokens: int) -> int:
        """Return how many document tokens are read, whatever the query; 0 if the query is too long."""
        special = self.template.special_token_count
        return self.max_length - special if query_tokens + special <= MAX_QUERY_TOKENS else 0

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:  # noqa: ARG002 - encoded before
        """Return the tokens computed for each pair, (pairs,): those of the document alone."""
        return document_tokens + self.template.special_token_count

    def prepare(self, queries: Sequence[Ids]) -> BatchScorer:
        """Encode each query once, also when its documents come in several rounds, and return the scorer for batches."""
        query_vectors = self.table.pool(queries)
        query_terms = np.stack(
            self.query_cache.get_or_compute([query.tobytes() for query in queries], self._expand_queries)
        )

        def score_batch(rows: Sequence[tuple[int, Ids]]) -> Floats:
            query_indices, documents = [query for query, _ in rows], [document for _, document in rows]
            ids = self.template.assemble(documents)
            matching = self.terms.match(query_terms[query_indices], self.terms.encode(ids), ids != 0)
            meaning = (query_vectors[query_indices] * self.table.pool(documents)).sum(1)
            logits: Floats = MEANING_WEIGHT * meaning + MATCHING_WEIGHT * matching + np.float32(SHIFT)
            return logits

        return score_batch

    def _expand_queries(self, keys: Sequence[bytes]) -> list[Floats]:
        queries = [np.frombuffer(key, np.int32) for key in keys]
        return [self.terms.expand(self.terms.encode(self.template.assemble([query]))[0]) for query in queries]
