"""The bi-encoder inside a split network: the vectors of the reranker's own encoder, without files of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from resift._util.arguments import check_texts
from resift._util.model_files import report_unreadable
from resift.engines.split.encoder import Encoder
from resift.engines.split.reader import graph_opener
from resift.engines.split.states import open_store
from resift.errors import InputError, ModelFileError, UnknownModelError
from resift.models.bundled import BUNDLED, DENSE, MULTILINGUAL, SCHEME, bundled_folder
from resift.models.contents import check_exported, describe_folder
from resift.models.manifest import ENCODER, Manifest
from resift.text.batches import plan_batches, split_into_windows
from resift.text.tokenizer import TextTokenizer

BATCH_TOKENS = 1024  # as the reranker's
TEXTS_PER_CHUNK = 512  # bounds the tokens held in memory, and leaves enough texts to sort by length
VECTOR_TOLERANCE = 1e-2  # numbers of a unit vector; right runtimes differ by 1e-6
EMBEDDER_FILES = (ENCODER, "tokenizer.json")
NAMES = {DENSE: BUNDLED[0], MULTILINGUAL: MULTILINGUAL}
"""Bi-encoder → the bundled network that has it inside."""


def encoder_folder(model: str | os.PathLike[str] | None) -> Path:
    """Return the folder of a model that `DenseEmbedder` takes. Raise UnknownModelError or MissingExtraError."""
    model = f"{SCHEME}{DENSE}" if model is None else os.fspath(model)
    if not model.startswith(SCHEME):
        return Path(model)
    name = model.removeprefix(SCHEME)
    if name not in NAMES:
        known = ", ".join(f"{SCHEME}{known}" for known in NAMES)
        raise UnknownModelError(f"{model} is no dense bi-encoder; there is {known}")
    return bundled_folder(NAMES[name])


def encoder_fingerprint(model: str | os.PathLike[str] | None) -> str:
    """Return the `fingerprint` of a model's `DenseEmbedder`, from the manifest alone. Raise as it does."""
    return Manifest.peek(encoder_folder(model)).fingerprint_of(EMBEDDER_FILES)


class DenseEmbedder:
    """The bi-encoder inside a split network: slower than `StaticEmbedder`, and finds more.

    The bundled one gives all-MiniLM-L6-v2's vectors. A text longer than the encoder reads is encoded in windows that
    overlap by a quarter, and its vector is their mean: every token is read, and a text that fits has exactly the
    bi-encoder's own vector. A text without a known token gives zeros. Any number of threads may use it.

    Args:
        model: A folder with a split network, of which only the encoder is opened, or "resift:multilingual". Default:
            the bundled network, "resift:dense".
        threads: CPU threads. Default: one per core.
        batch_tokens: Tokens in one batch, padding included. Bounds memory, changes no vector.
        states_file: A file in which the states of the texts are kept for a reranker with the same `states_file`.
            Default: none are kept.

    Raises:
        ModelFileError: The folder is incomplete or damaged, or holds no split network.
        UnknownModelError: There is no bi-encoder resift:NAME.
        MissingExtraError: The files of "resift:multilingual" are not installed.
        InputError: An option is out of range, or no file can be where `states_file` says.

    >>> query, near, far = DenseEmbedder().embed(["a hungry fox", "the fox wanted food", "tax law"])
    >>> bool(query @ near > query @ far)
    True
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        states_file: str | os.PathLike[str] | None = None,
    ) -> None:
        if batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, got {batch_tokens}")
        self.folder = encoder_folder(model)
        check_exported(self.folder)
        if (kind := Manifest.peek(self.folder).kind) != "split":
            raise ModelFileError(
                f"{self.folder} holds a {kind} model, which has no encoder for a text alone: "
                f"{describe_folder(self.folder).use}"
            )
        manifest = Manifest.read(self.folder, EMBEDDER_FILES if states_file is None else None)
        by_default = f"{SCHEME}{DENSE}"
        self.name = by_default if model in (None, by_default) else manifest.name
        self.fingerprint = manifest.fingerprint_of(EMBEDDER_FILES)
        self.max_length = manifest.document_length
        self._model = model
        self._options: dict[str, Any] = {"threads": threads, "batch_tokens": batch_tokens, "states_file": states_file}
        self._batch_tokens = batch_tokens
        self._tokenizer = TextTokenizer.load(manifest.locate(self.folder, "tokenizer.json"), control_tokens="text")
        template, open_graph = self._tokenizer.text_template(), graph_opener(threads)
        graph = manifest.locate(self.folder, ENCODER)
        if states_file is None:  # a vector needs nothing of the sparse encoder; states do
            self._encoder = Encoder(open_graph(graph), template, manifest.checksum_of(ENCODER))
        else:
            self._encoder = Encoder.load(self.folder, manifest, template, open_graph, open_store(0, states_file))
        with report_unreadable(graph, "encoder that fits the folder's tokenizer.json"):
            self._check_encoder()

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        outputs = self._encoder.session.get_outputs()
        return int(next(output.shape[1] for output in outputs if output.name == "vector"))

    def _check_encoder(self) -> None:
        """Raise an error unless a short text has the same unit vector alone and beside a longer one."""
        highest = self._tokenizer.highest_id
        short, long = np.array([highest], np.int32), np.array([highest // 2] * 3, np.int32)
        vectors, alone = (
            self._encoder.session.run(["vector"], {"input_ids": self._encoder.template.assemble(texts)})[0]
            for texts in ([long, short], [short])
        )
        if vectors.shape != (2, self.dimensions) or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2):
            raise ValueError(f"it gives no unit vectors, but an array of shape {vectors.shape}")
        if not np.allclose(vectors[1], alone[0], atol=VECTOR_TOLERANCE):
            raise ModelFileError(
                f"onnxruntime {onnxruntime.__version__} gives a text another vector beside a longer one: it computes "
                "the encoder wrongly on this machine. pip install -U onnxruntime (1.20.0 to 1.21.0 are wrong)"
            )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; queries and documents alike.

        Args:
            texts: The texts, of any length.

        Returns:
            One unit vector per text, (texts, dimensions), float32, in their order, whatever the batches they were in.
            A text without a known token gives zeros: all of them would be alike.

        Raises:
            InputError: That is no list of texts.
        """
        texts = check_texts(texts)
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        is_known = np.zeros(len(texts), bool)
        special = self._encoder.template.special_token_count
        wordless = self._tokenizer.wordless_ids
        for start in range(0, len(texts), TEXTS_PER_CHUNK):
            chunk = self._tokenizer.encode(texts[start : start + TEXTS_PER_CHUNK])
            is_known[start : start + len(chunk)] = [not np.isin(tokens.ids, wordless).all() for tokens in chunk]
            windows = [
                (index, tokens.ids[first:last])
                for index, tokens in enumerate(chunk, start)
                for first, last in split_into_windows(len(tokens.ids), self.max_length - special)
            ]
            for batch in plan_batches([len(ids) + special for _, ids in windows], self._batch_tokens):
                window_vectors = self._encoder.embed([windows[window][1] for window in batch])
                np.add.at(vectors, [windows[window][0] for window in batch], window_vectors)
        vectors[~is_known] = 0
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit_vectors: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit_vectors

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(DenseEmbedder, **self._options), (self._model,))
