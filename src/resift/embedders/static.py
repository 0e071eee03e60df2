"""The fast bundled bi-encoder: one vector per token, looked up and averaged. numpy at run time, no network to run.

Made as model2vec makes its tables (https://github.com/MinishLab/model2vec): each token's vector is what a sentence
encoder says of the token alone, reduced by PCA, weighted by how rare the token is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resift.errors import ModelFileError
from resift.models.bundled import STATIC, bundled_folder
from resift.models.manifest import Manifest
from resift.text.table import pool_vectors
from resift.text.tokenizer import TextTokenizer

CHUNK = 256  # texts at once: bounds the token vectors held in memory


def table_folder(folder: str | os.PathLike[str] | None) -> Path:
    """The folder itself, or the bundled table's for None."""
    return bundled_folder(STATIC) if folder is None else Path(folder)


class StaticEmbedder:
    """Texts to unit vectors, thousands a second on one core. Safe to use from any number of threads.

    `folder` is None for the bundled model. Raises ModelFileError when the folder is incomplete or damaged.

    >>> query, near, far = StaticEmbedder().embed(["a hungry fox", "the fox wanted food", "tax law"])
    >>> bool(query @ near > query @ far)
    True
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = table_folder(folder)
        manifest = Manifest.read(self.folder)
        if manifest.kind != "static":
            raise ModelFileError(f"{self.folder} holds a {manifest.kind} model, not a table of token vectors")
        self.name = manifest.name
        self.fingerprint = manifest.fingerprint
        self._tokenizer = TextTokenizer.load(self.folder / "tokenizer.json")
        # Mapped, not read: rows come in as they are needed, and processes share them.
        self._table: NDArray[np.int8] = np.load(self.folder / "table.npy", mmap_mode="r")
        self._scales: NDArray[np.float32] = np.load(self.folder / "scales.npy")

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit vector per text, (texts, dimensions), in their order; a text without tokens gives zeros."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for start in range(0, len(texts), CHUNK):
            tokens = self._tokenizer.encode(texts[start : start + CHUNK])
            vectors[start : start + CHUNK] = pool_vectors(self._table, self._scales, [one.ids for one in tokens])
        return vectors

    def __reduce__(self) -> tuple[type[StaticEmbedder], tuple[Path]]:
        return (StaticEmbedder, (self.folder,))
