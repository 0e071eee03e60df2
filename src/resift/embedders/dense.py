"""The bi-encoder inside a split network: its encoder's vectors, which the reranker's files bring along."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift.engines.split.encoder import Encoder
from resift.engines.split.reader import opener
from resift.engines.split.states import open_store
from resift.errors import InputError, ModelFileError
from resift.models.bundled import BUNDLED, DENSE, bundled_folder
from resift.models.manifest import ENCODER, Manifest
from resift.text.batches import plan_batches, split_into_windows
from resift.text.tokenizer import TextTokenizer

BATCH_TOKENS = 2048  # as the reranker's
CHUNK = 512  # texts at once: bounds the tokens held in memory, and leaves enough to sort by length
FILES = (ENCODER, "tokenizer.json")


def encoder_folder(folder: str | os.PathLike[str] | None) -> Path:
    """The folder itself, or for None that of the bundled network."""
    return bundled_folder(BUNDLED[0]) if folder is None else Path(folder)


def encoder_fingerprint(folder: str | os.PathLike[str] | None) -> str:
    """What `DenseEmbedder.fingerprint` is for a folder, from its manifest alone. Raises ModelFileError."""
    return Manifest.peek(encoder_folder(folder)).fingerprint_of(FILES)


class DenseEmbedder:
    """Texts to unit vectors, with the encoder of a split network: slower than `StaticEmbedder`, and finds more.

    `folder` is None for the bundled network, whose vectors are all-MiniLM-L6-v2's; only its encoder is opened. A text
    longer than the encoder reads is encoded in windows that overlap by a quarter, and its vector is their mean: nothing
    goes unread, and a text that fits has exactly the bi-encoder's own vector. `batch_tokens` bounds memory and
    changes no vector. With `states_file`, what is encoded is kept there for the reranker: see `Reranker`'s option.
    Safe to use from any number of threads.

    Raises ModelFileError when the folder is incomplete, damaged, or holds no split network.

    >>> query, near, far = DenseEmbedder().embed(["a hungry fox", "the fox wanted food", "tax law"])
    >>> bool(query @ near > query @ far)
    True
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        states_file: str | os.PathLike[str] | None = None,
    ) -> None:
        if batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, got {batch_tokens}")
        self.folder = encoder_folder(folder)
        if (kind := Manifest.peek(self.folder).kind) != "split":
            raise ModelFileError(f"{self.folder} holds a {kind} model, which has no encoder for a text alone")
        manifest = Manifest.read(self.folder, FILES if states_file is None else None)
        self.name = f"resift:{DENSE}" if folder is None else manifest.name
        self.fingerprint = manifest.fingerprint_of(FILES)
        self.max_length = manifest.document_length
        self._given = folder
        self._options: dict[str, Any] = {"threads": threads, "batch_tokens": batch_tokens, "states_file": states_file}
        self._batch_tokens = batch_tokens
        self._tokenizer = TextTokenizer.load(self.folder / "tokenizer.json")
        template, open_graph = self._tokenizer.text_template(), opener(threads)
        if states_file is None:  # a vector needs nothing of the sparse encoder, which states hold too
            self._encoder = Encoder(open_graph(self.folder / ENCODER), template, manifest.sum_of(ENCODER))
        else:
            self._encoder = Encoder.of(self.folder, manifest, template, open_graph, open_store(0, states_file))

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(next(one.shape[1] for one in self._encoder.session.get_outputs() if one.name == "vector"))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit vector per text, (texts, dimensions), in their order, whatever the batches they went in."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        extra = self._encoder.template.special_token_count
        for start in range(0, len(texts), CHUNK):
            tokens = self._tokenizer.encode(texts[start : start + CHUNK])
            rows = [
                (place, one.ids[first:last])
                for place, one in enumerate(tokens, start)
                for first, last in split_into_windows(len(one.ids), self.max_length - extra)
            ]
            for batch in plan_batches([len(ids) + extra for _, ids in rows], self._batch_tokens):
                encoded = self._encoder.vectors([rows[row][1] for row in batch])
                np.add.at(vectors, [rows[row][0] for row in batch], encoded)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(DenseEmbedder, **self._options), (self._given,))
