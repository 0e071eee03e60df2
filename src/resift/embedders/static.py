"""The fast bundled bi-encoder: a vector for each token, looked up and averaged. It needs numpy, and runs no network.

The table is made as model2vec makes its tables (https://github.com/MinishLab/model2vec): a token's vector is what a
sentence encoder gives for the token alone, reduced by PCA, weighted by how rare the token is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resift._util.arguments import check_texts
from resift.errors import ModelFileError
from resift.models.bundled import STATIC, bundled_folder
from resift.models.contents import check_exported, describe_folder
from resift.models.manifest import Manifest
from resift.text.table import SCALES, TABLE, TokenTable
from resift.text.tokenizer import TextTokenizer

TEXTS_PER_CHUNK = 256  # bounds the token vectors held in memory


def table_folder(folder: str | os.PathLike[str] | None) -> Path:
    """Return the folder itself, or for None that of the bundled table."""
    return bundled_folder(STATIC) if folder is None else Path(folder)


class StaticEmbedder:
    """The fast bi-encoder: texts to unit vectors, thousands a second on one core. Any number of threads may use it.

    Args:
        folder: A folder with a table of token vectors. Default: the bundled table.

    Raises:
        ModelFileError: The folder is incomplete or damaged, or holds another kind of model.

    >>> query, near, far = StaticEmbedder().embed(["a hungry fox", "the fox wanted food", "tax law"])
    >>> bool(query @ near > query @ far)
    True
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = table_folder(folder)
        check_exported(self.folder)
        manifest = Manifest.read(self.folder)
        if manifest.kind != "static":
            raise ModelFileError(
                f"{self.folder} holds a {manifest.kind} model, not a table of token vectors: "
                f"{describe_folder(self.folder).use}"
            )
        self.name = manifest.name
        self.fingerprint = manifest.fingerprint
        self._tokenizer = TextTokenizer.load(manifest.locate(self.folder, "tokenizer.json"), control_tokens="text")
        table, scales = (manifest.locate(self.folder, name) for name in (TABLE, SCALES))
        self._table = TokenTable.load(table, scales, self._tokenizer)

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return int(self._table.vectors.shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; queries and documents alike.

        Args:
            texts: The texts, of any length.

        Returns:
            One unit vector per text, (texts, dimensions), float32, in their order. A text without a known token
            gives zeros.

        Raises:
            InputError: That is no list of texts.
        """
        texts = check_texts(texts)
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for start in range(0, len(texts), TEXTS_PER_CHUNK):
            token_ids = [tokens.ids for tokens in self._tokenizer.encode(texts[start : start + TEXTS_PER_CHUNK])]
            vectors[start : start + TEXTS_PER_CHUNK] = self._table.pool(token_ids)
        return vectors

    def __reduce__(self) -> tuple[type[StaticEmbedder], tuple[Path]]:
        return (StaticEmbedder, (self.folder,))
