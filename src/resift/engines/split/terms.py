"""The sparse encoder of a split network at run time: a graph over token rows, and the vocabulary they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.session import Session
from resift.errors import ModelFileError
from resift.models.manifest import TERMS, VOCABULARY

SOUGHT = 32  # a query's strongest terms; 256 rank no better
Floats = NDArray[np.float32]
OpenGraph = Callable[[Path], Session]


@dataclass(frozen=True, slots=True)
class SparseEncoder:
    """Token states to be compared with a vocabulary, and what a query looks for in them (SPLADE)."""

    session: Session
    table: Floats
    """(vocabulary, width)."""
    bias: Floats
    """(vocabulary,)."""
    size: float
    """size x state x vocabulary + bias are logits."""

    @classmethod
    def load(cls, folder: Path, open_graph: OpenGraph) -> SparseEncoder:
        """From an exported model's folder. Raises ModelFileError for a file that is no vocabulary."""
        try:
            with np.load(folder / VOCABULARY, allow_pickle=False) as stored:
                table = np.multiply(stored["table"], stored["scales"], dtype=np.float32)  # in one pass
                bias, size = stored["bias"], float(stored["size"])
        except (OSError, ValueError, KeyError) as error:
            raise ModelFileError(f"{folder / VOCABULARY} is no vocabulary: {error}") from error
        return cls(open_graph(folder / TERMS), table, bias, size)

    def encode(self, ids: NDArray[np.int64]) -> Floats:
        """Of padded texts, (texts, tokens): (texts, tokens, width)."""
        return self.session.run(["states"], {"input_ids": ids, "rows": self.table[ids]})[0]

    def expand(self, states: Floats) -> Floats:
        """The terms a query looks for, from its token states (tokens, width): see `SparseEncoderModule.expand`."""
        logits = self.size * (states @ self.table.T).max(0) + self.bias
        some = np.argpartition(-logits, min(SOUGHT, len(logits)) - 1)[:SOUGHT]
        found = some[np.argsort(-logits[some], kind="stable")]
        weights = np.log1p(np.maximum(logits[found], 0))  # which grows with the logit: the strongest are the same
        shares = weights / max(float(weights.sum()), 1e-6)
        return np.concatenate([self.size * self.table[found], self.bias[found, None], shares[:, None]], 1)

    @staticmethod
    def match(sought: Floats, states: Floats, text: NDArray[np.bool_]) -> Floats:
        """How strongly documents stand for what queries look for, a row each: see `resift.networks.terms.match`."""
        logits = states @ sought[:, :, :-2].transpose(0, 2, 1) + sought[:, None, :, -2]
        best = np.where(text[:, :, None], logits, -np.inf).max(1)
        matched: Floats = (np.log1p(np.maximum(best, 0)) * sought[:, :, -1]).sum(1)
        return matched
