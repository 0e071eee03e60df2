"""The sparse encoder of a split network at run time: a graph from rows of a vocabulary table to token states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resift._util.model_files import report_unreadable
from resift.engines.common.session import Session
from resift.models.manifest import TERMS, VOCABULARY, Manifest

TERMS_PER_QUERY = 32  # the strongest; 256 rank no better
ROWS_RESTORED = 1024  # of the table at once: half a megabyte stays in the processor's cache
SMALL_PRODUCT = 2**19 - 1  # multiplications; more are shared out by OpenBLAS to threads, which then spin on the cores
Floats = NDArray[np.float32]
OpenGraph = Callable[[Path], Session]


@dataclass(frozen=True, slots=True)
class SparseEncoder:
    """Encodes texts to token states, and expands queries to terms that are matched with those states (SPLADE)."""

    session: Session
    numbers: NDArray[np.int8] | Floats
    """(vocabulary, width): as stored, usually 8 bits. Restored where it is used, it needs a quarter of the memory."""
    scales: Floats
    """(vocabulary, 1): the factors of the rows of `numbers`; both together are the table of terms."""
    bias: Floats
    """(vocabulary,)."""
    size: float
    """The factor of token states: the logit of a term is size x state · row of the table + bias."""

    @classmethod
    def load(cls, folder: Path, manifest: Manifest, open_graph: OpenGraph) -> SparseEncoder:
        """Load it from a model folder. Raise ModelFileError for a damaged file, or one the manifest doesn't list."""
        graph, vocabulary = (manifest.locate(folder, name) for name in (TERMS, VOCABULARY))
        with (
            report_unreadable(vocabulary, "vocabulary"),
            vocabulary.open("rb") as file,  # np.load leaves a damaged file open
            np.load(file, allow_pickle=False) as stored,
        ):
            numbers, scales, bias, size = (stored[name] for name in ("table", "scales", "bias", "size"))
            if numbers.ndim != 2 or bias.shape != numbers.shape[:1] or scales.shape != (len(numbers), 1):
                raise ValueError(f"a table of shape {numbers.shape} with {scales.shape} scales and {bias.shape} biases")
        return cls(open_graph(graph), numbers, scales, bias, float(size))

    @property
    def width(self) -> int:
        """Numbers of a token's state."""
        return int(self.numbers.shape[1])

    def rows(self, ids: NDArray[np.int_]) -> Floats:
        """Return rows of the table, (..., width)."""
        rows: Floats = self.numbers[ids] * self.scales[ids]
        return rows

    def encode(self, ids: NDArray[np.int64]) -> Floats:
        """Return the token states of padded texts: from (texts, tokens) to (texts, tokens, width)."""
        return self.session.run(["states"], {"input_ids": ids, "rows": self.rows(ids)})[0]

    def expand(self, states: Floats) -> Floats:
        """Return the strongest terms of a query, from its token states (tokens, width), the strongest first.

        A row for each term, (terms, width + 2): its vector, its bias, and its share of the query's weight. See
        `SparseEncoderModule.expand`.
        """
        logits = self.size * self._largest_products(states) * self.scales[:, 0] + self.bias
        candidates = np.argpartition(-logits, min(TERMS_PER_QUERY, len(logits)) - 1)[:TERMS_PER_QUERY]
        strongest = candidates[np.argsort(-logits[candidates], kind="stable")]
        weights = np.log1p(np.maximum(logits[strongest], 0))  # grows with the logit, so the strongest are the same
        shares = weights / max(float(weights.sum()), 1e-6)
        return np.concatenate([self.size * self.rows(strongest), self.bias[strongest, None], shares[:, None]], 1)

    def _largest_products(self, states: Floats) -> Floats:
        """Return each term's largest product of its numbers and a state, (vocabulary,)."""
        largest = np.empty(len(self.numbers), np.float32)
        restored = np.empty((ROWS_RESTORED, self.width), np.float32)
        products = np.empty((len(states), ROWS_RESTORED), np.float32)
        step = max(1, SMALL_PRODUCT // states.size)
        for start in range(0, len(largest), ROWS_RESTORED):
            part = self.numbers[start : start + ROWS_RESTORED]
            np.copyto(restored[: len(part)], part)
            for first in range(0, len(part), step):
                rows = slice(first, min(first + step, len(part)))
                np.matmul(states, restored[rows].T, out=products[:, rows])
            products[:, : len(part)].max(0, out=largest[start : start + len(part)])
        return largest

    @staticmethod
    def match(terms: Floats, states: Floats, is_text: NDArray[np.bool_]) -> Floats:
        """Return how well each document matches the terms of its query, (rows,). See `resift.networks.splade.match`.

        `terms` is (rows, terms, width + 2), `states` (rows, tokens, width), `is_text` (rows, tokens).
        """
        vectors = terms[:, :, :-2].transpose(0, 2, 1)
        logits = np.empty((*states.shape[:2], terms.shape[1]), np.float32)
        step = max(1, SMALL_PRODUCT // vectors[0].size)
        for first in range(0, states.shape[1], step):
            tokens = slice(first, first + step)
            np.matmul(states[:, tokens], vectors, out=logits[:, tokens])
        logits += terms[:, None, :, -2]
        best = np.where(is_text[:, :, None], logits, -np.inf).max(1)
        scores: Floats = (np.log1p(np.maximum(best, 0)) * terms[:, :, -1]).sum(1)
        return scores
