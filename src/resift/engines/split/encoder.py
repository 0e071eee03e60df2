"""The encoder's graph of a split network: a text's ids to the states its tokens have, and the vector of the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.session import Session
from resift.engines.split.states import DocumentState, StateStore
from resift.engines.split.terms import OpenGraph, SparseEncoder
from resift.models.manifest import ENCODER, TERMS, VOCABULARY, Manifest
from resift.text.tokenizer import Ids, TextTemplate

STATES = (ENCODER, TERMS, VOCABULARY)
"""Files that states come from."""


class Encoded(NamedTuple):
    """Texts as the encoder's graph gives them."""

    ids: NDArray[np.int64]
    """(texts, tokens), padded with 0."""
    states: NDArray[np.float32]
    """(texts, tokens, width): the trunk's, and behind them the sparse encoder's where there is one."""
    vector: NDArray[np.float32]
    """(texts, width), of unit length."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes texts; with a store, those alone that it doesn't hold."""

    session: Session
    template: TextTemplate
    model: str
    """SHA-256 of the files that states come from: what is kept is kept under it."""
    store: StateStore | None = None
    terms: SparseEncoder | None = None

    @classmethod
    def of(
        cls, folder: Path, manifest: Manifest, template: TextTemplate, open_graph: OpenGraph, store: StateStore | None
    ) -> Encoder:
        """What a split model's folder holds, with the sparse encoder where there is one."""
        files = [name for name in STATES if name in manifest.files]
        terms = SparseEncoder.load(folder, open_graph) if TERMS in files else None
        return cls(open_graph(folder / ENCODER), template, "".join(map(manifest.sum_of, files)), store, terms)

    def encode(self, texts: Sequence[Ids]) -> Encoded:
        """Computes all of them, exactly."""
        ids = self.template.assemble(texts)
        states, vector = self.session.run(["states", "vector"], {"input_ids": ids})
        if self.terms is not None:
            states = np.concatenate([states, self.terms.encode(ids)], axis=2)
        return Encoded(ids, states, vector)

    def read(self, texts: Sequence[Ids]) -> tuple[Encoded, NDArray[np.bool_]]:
        """The texts, and which of them were taken from the store.

        With a store, what is computed is rounded as what is kept: a score is the same whichever it came from.
        """
        if self.store is None:
            return self.encode(texts), np.zeros(len(texts), bool)
        keys = [self._key(text) for text in texts]
        kept = self.store.get(keys)
        taken = np.array([key in kept for key in keys])
        kept |= self._keep({key: text for key, text in zip(keys, texts, strict=True) if key not in kept}, self.store)
        ids = self.template.assemble(texts)
        states = np.zeros((*ids.shape, kept[keys[0]].numbers.shape[1]), np.float32)
        for row, key in enumerate(keys):
            kept[key].restore(states[row, : len(kept[key].numbers)])
        return Encoded(ids, states, np.stack([kept[key].vector for key in keys])), taken

    def vectors(self, texts: Sequence[Ids]) -> NDArray[np.float32]:
        """The vectors alone, (texts, width). With a store, the states of what is computed are kept on the way."""
        if self.store is None:
            (vector,) = self.session.run(["vector"], {"input_ids": self.template.assemble(texts)})
            found: NDArray[np.float32] = vector
            return found
        keys = [self._key(text) for text in texts]
        known = self.store.vectors(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        known |= {key: entry.vector for key, entry in self._keep(missing, self.store).items()}
        return np.stack([known[key] for key in keys])

    def _keep(self, missing: dict[bytes, Ids], store: StateStore) -> dict[bytes, DocumentState]:
        if not missing:
            return {}
        fresh = self.encode(list(missing.values()))
        lengths = [len(text) + self.template.special_token_count for text in missing.values()]
        made = {
            key: DocumentState.quantize(fresh.states[row, :length], fresh.vector[row])
            for row, (key, length) in enumerate(zip(missing, lengths, strict=True))
        }
        store.put(made)
        return made

    def _key(self, text: Ids) -> bytes:
        """Graph and ids, special tokens included: all that states depend on."""
        digest = hashlib.blake2b(self.model.encode(), digest_size=16)
        for part in (self.template.before, text, self.template.after):
            digest.update(part.astype(np.int32).tobytes())
        return digest.digest()
