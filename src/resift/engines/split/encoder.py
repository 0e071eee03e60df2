"""The encoder of a split network: from the token ids of a text to the states of its tokens and one vector."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.session import Session
from resift.engines.split.sparse_encoder import OpenGraph, SparseEncoder
from resift.engines.split.states import DocumentState, RoundedStates, StateStore, restore, stack
from resift.models.manifest import ENCODER, TERMS, VOCABULARY, Manifest
from resift.text.batches import plan_batches
from resift.text.tokenizer import Ids, TextTemplate

STATE_FILES = (ENCODER, TERMS, VOCABULARY)
"""The files of a model folder that states depend on."""


class EncodedTexts(NamedTuple):
    """What the encoder gives for a batch of texts."""

    ids: NDArray[np.int64]
    """(texts, tokens), padded with 0."""
    states: NDArray[np.float32]
    """(texts, tokens, width): the trunk's, followed by the sparse encoder's if there is one."""
    vector: NDArray[np.float32]
    """(texts, width), of unit length."""


class RoundedTexts(NamedTuple):
    """The same in 8 bits, as it is kept."""

    ids: NDArray[np.int64]
    """(texts, tokens), padded with 0."""
    states: RoundedStates
    vector: NDArray[np.float32]
    """(texts, width), of unit length."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes texts. With a store, it encodes only those whose states are not stored, and stores them."""

    session: Session
    template: TextTemplate
    model: str
    """SHA-256 of the files that states depend on, part of every key in the store."""
    store: StateStore | None = None
    terms: SparseEncoder | None = None
    batch_tokens: int | None = None
    """Most tokens that are encoded at once where states are kept; None: any number."""

    @classmethod
    def load(
        cls,
        folder: Path,
        manifest: Manifest,
        template: TextTemplate,
        open_graph: OpenGraph,
        store: StateStore | None = None,
    ) -> Encoder:
        """Load the encoder of a split model's folder, with the sparse encoder if there is one."""
        files = [name for name in STATE_FILES if name in manifest.files]
        terms = SparseEncoder.load(folder, manifest, open_graph) if TERMS in files else None
        session = open_graph(manifest.locate(folder, ENCODER))
        return cls(session, template, "".join(map(manifest.checksum_of, files)), store, terms)

    def encode(self, texts: Sequence[Ids]) -> EncodedTexts:
        """Encode all the texts, exactly, without the store."""
        ids = self.template.assemble(texts)
        states, vector = self.session.run(["states", "vector"], {"input_ids": ids})
        if self.terms is not None:
            states = np.concatenate([states, self.terms.encode(ids)], axis=2)
        return EncodedTexts(ids, states, vector)

    def encode_or_load(self, texts: Sequence[Ids]) -> tuple[EncodedTexts, NDArray[np.bool_]]:
        """Return the encoded texts, and for each text whether its states came from the store, (texts,).

        With a store, states that were just computed are rounded like stored ones, so a score is the same either way.
        """
        if self.store is None:
            return self.encode(texts), np.zeros(len(texts), bool)
        found, computed = self.find_or_encode(texts, self.store)
        ids = self.template.assemble(texts)
        vectors = np.stack([state.vector for state in found])
        return EncodedTexts(ids, restore(found, ids.shape[1]), vectors), computed == 0

    def join(self, texts: Sequence[Ids], states: Sequence[DocumentState]) -> RoundedTexts:
        """Return texts and their rounded states as one batch."""
        ids = self.template.assemble(texts)
        return RoundedTexts(ids, stack(states, ids.shape[1]), np.stack([state.vector for state in states]))

    def embed(self, texts: Sequence[Ids]) -> NDArray[np.float32]:
        """Return only the vectors, (texts, width). With a store, the states of what is computed are stored too."""
        if self.store is None:
            (vectors,) = self.session.run(["vector"], {"input_ids": self.template.assemble(texts)})
            return vectors
        keys = [self._key(text) for text in texts]
        vectors_by_key = self.store.vectors(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors_by_key}
        vectors_by_key |= {key: state.vector for key, (state, _) in self._encode_and_store(missing, self.store).items()}
        return np.stack([vectors_by_key[key] for key in keys])

    def find_or_encode(self, texts: Sequence[Ids], store: StateStore) -> tuple[list[DocumentState], NDArray[np.int_]]:
        """Return texts as the store has them, and for each how many tokens were computed, padding included."""
        keys = [self._key(text) for text in texts]
        states_by_key = store.get(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in states_by_key}
        encoded = self._encode_and_store(missing, store)
        states_by_key |= {key: state for key, (state, _) in encoded.items()}
        computed = [encoded[key][1] if key in encoded else 0 for key in keys]
        return [states_by_key[key] for key in keys], np.array(computed)

    def _encode_and_store(self, missing: dict[bytes, Ids], store: StateStore) -> dict[bytes, tuple[DocumentState, int]]:
        """Return the states of each text, and how many tokens were computed for it, padding included."""
        if not missing:
            return {}
        keys, texts = list(missing), list(missing.values())
        lengths = [len(text) + self.template.special_token_count for text in texts]
        states: dict[bytes, tuple[DocumentState, int]] = {}
        # What is read together may be too much to be encoded together.
        for batch in plan_batches(lengths, self.batch_tokens or sum(lengths)):
            encoded = self.encode([texts[index] for index in batch])
            states |= {
                keys[index]: (
                    DocumentState.quantize(encoded.states[row, : lengths[index]], encoded.vector[row]),
                    encoded.ids.shape[1],
                )
                for row, index in enumerate(batch)
            }
        store.put({key: state for key, (state, _) in states.items()})
        return states

    def _key(self, text: Ids) -> bytes:
        """Return the key of a text's states: a digest of all they depend on, the model and every token id."""
        digest = hashlib.blake2b(self.model.encode(), digest_size=16)
        for ids in (self.template.before, text, self.template.after):
            digest.update(ids.astype(np.int32).tobytes())
        return digest.digest()
