"""What a first stage is distilled into: a table of token vectors, or any sentence-transformers bi-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from resift.embedders.static import table_folder
from resift.errors import InputError, ModelFileError
from resift.evaluation.nearest import encoder_kind
from resift.export.static import write_table
from resift.models.manifest import MANIFEST_FILE, Manifest
from resift.text.normal import normalise_all

BUNDLED = "static"
"""The base that stands for the bundled table."""


class Student(Protocol):
    """A bi-encoder that learns, and what suits its kind."""

    @property
    def model(self) -> SentenceTransformer:
        """The model that is trained in place."""

    @property
    def batch(self) -> int:
        """Pairs of a step. Each query's wrong answers are the other pairs' passages: the more, the better."""

    @property
    def learning_rate(self) -> float:
        """At its highest."""

    def write(self, folder: Path, name: str, licence: str) -> None:
        """Write the model into a folder, ready for use."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of token vectors, which are averaged; trained as a `StaticEmbedding` and written in 8 bits."""

    model: SentenceTransformer
    base: Manifest
    tokenizer: Path
    batch: int = 1024
    learning_rate: float = 3e-3
    """For rows of unit size (root mean square): as they are made here."""

    @classmethod
    def read(cls, folder: Path) -> Table:
        """Read a folder that `StaticEmbedder` reads. Raises ModelFileError for another one."""
        manifest = Manifest.read(folder)
        if manifest.kind != "static":
            raise ModelFileError(f"{folder} holds a {manifest.kind} model, not a table of token vectors")
        vectors = np.load(folder / "table.npy").astype(np.float32) * np.load(folder / "scales.npy")[:, None]
        # Only directions count in use, so any size will do; with a known one, one learning rate suits all tables.
        size = np.sqrt((vectors**2).sum(1).mean())
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        module = StaticEmbedding(tokenizer, embedding_weights=(vectors / size).astype(np.float32))
        # On the CPU: it is a lookup, and a graphics card would wait for the tokens.
        model = SentenceTransformer(modules=[module], device="cpu")
        return cls(model, manifest, folder / "tokenizer.json")

    def write(self, folder: Path, name: str, licence: str) -> None:
        """Write the table as `StaticEmbedder` reads it."""
        source = f"distilled from {self.base.name} ({self.base.fingerprint})"
        about = Manifest(name, "static", document_length=self.base.document_length, source=source, licence=licence)
        write_table(self.vectors, self.tokenizer, folder, about)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The table as it is now, (tokens, dimensions)."""
        module = self.model[0]
        assert isinstance(module, StaticEmbedding)  # noqa: S101 - `read` makes no other
        vectors: NDArray[np.float32] = module.embedding.weight.detach().cpu().numpy()
        return vectors


@dataclass(frozen=True, slots=True)
class StudentEncoder:
    """A sentence-transformers bi-encoder, written as sentence-transformers does."""

    model: SentenceTransformer
    batch: int = 32
    learning_rate: float = 2e-5

    def write(self, folder: Path, name: str, licence: str) -> None:
        """Write the model as `SentenceTransformer` reads it. Name and licence are for its model card."""
        card = self.model.model_card_data
        card.model_name, card.license = name, licence or None
        self.model.save_pretrained(str(folder), create_model_card=False)


def open_student(base: str) -> Student:
    """Load `static` (the bundled table), a table's folder, or a sentence-transformers folder. Raises InputError."""
    folder = table_folder(None) if base == BUNDLED else Path(base)
    if (folder / MANIFEST_FILE).is_file():
        return Table.read(folder)
    if encoder_kind(folder) == "SentenceTransformer":
        return StudentEncoder(SentenceTransformer(str(folder), local_files_only=True))
    raise InputError(
        f"{base!r} is nothing to distil into: give {BUNDLED}, the folder of a table ({MANIFEST_FILE}) "
        "or of a sentence-transformers bi-encoder (modules.json)"
    )


def embed(model: SentenceTransformer, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return unit vectors, (texts, dimensions); zeros for a text without tokens."""
    batch = 1024 if isinstance(model[0], StaticEmbedding) else 32
    vectors = model.encode(normalise_all(texts), batch_size=batch, show_progress_bar=False, convert_to_numpy=True)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
    return unit
