"""`resift.json`: what a model folder holds, and the checksums that loading verifies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from resift._util.atomic import write_whole
from resift.errors import ModelFileError

FILE = "resift.json"
FORMAT = 1
KINDS = ("pair", "split", "static")
ENCODER, READER = "encoder.onnx", "reader.onnx"
"""The two graphs of a `split` model."""
TERMS, VOCABULARY = "terms.onnx", "vocabulary.npz"
"""What a `split` model with a sparse encoder has too."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model folder says of itself."""

    name: str
    kind: str
    """`pair`: one graph over query and document; `split`: an encoder and a reader; `static`: a table."""
    document_length: int
    """Most tokens of the input that holds the document, special tokens included."""
    query_length: int | None = None
    """The same for a query that has an input of its own (`split`)."""
    precision: str = "float32"
    source: str = ""
    licence: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """File name → SHA-256."""

    @classmethod
    def read(cls, folder: Path, only: Sequence[str] | None = None) -> Manifest:
        """The manifest of a folder whose files (`only` these, where they are named) are all there and all match.

        Raises ModelFileError.
        """
        manifest = cls.peek(folder)
        manifest._verify(folder, manifest.files if only is None else only)
        return manifest

    @classmethod
    def peek(cls, folder: Path) -> Manifest:
        """What the manifest says, its files unread: enough to tell models apart. Raises ModelFileError."""
        path = folder / FILE
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelFileError(f"{folder} has no {FILE}: it is no exported model folder") from None
        except ValueError as error:
            raise ModelFileError(f"{path} is not valid JSON: {error}") from error
        written = data.pop("format", None)
        if written != FORMAT:
            raise ModelFileError(
                f"{path} has format {written}, this resift reads format {FORMAT}: export the model again"
            )
        try:
            manifest = cls(**data)
        except TypeError as error:
            raise ModelFileError(f"{path} is no manifest: {error}") from error
        if manifest.kind not in KINDS:
            raise ModelFileError(f"{path}: unknown kind {manifest.kind!r}, expected one of {', '.join(KINDS)}")
        return manifest

    @property
    def fingerprint(self) -> str:
        """Tells two models of one name apart: 16 hexadecimal digits over the checksums of all files."""
        return self.fingerprint_of(self.files)

    def fingerprint_of(self, files: Iterable[str]) -> str:
        """The same for a part of the model. Raises ModelFileError for a file the manifest doesn't list."""
        return hashlib.sha256("".join(self.sum_of(name) for name in sorted(files)).encode()).hexdigest()[:16]

    def sum_of(self, name: str) -> str:
        """A file's SHA-256. Raises ModelFileError where the manifest doesn't list it."""
        if name not in self.files:
            raise ModelFileError(f"{self.name} is a {self.kind} model, whose {FILE} lists no {name}")
        return self.files[name]

    def write(self, folder: Path, files: Iterable[str]) -> Manifest:
        """Writes `resift.json` with the checksums of these files of the folder, and returns what it wrote."""
        sums = {name: sha256(folder / name) for name in sorted(files)}
        data = {"format": FORMAT, **asdict(self), "files": sums}
        text = json.dumps(data, indent=2) + "\n"
        write_whole(folder / FILE, lambda path: path.write_text(text, encoding="utf-8"))
        return replace(self, files=sums)

    def _verify(self, folder: Path, names: Iterable[str]) -> None:
        for name in names:
            expected = self.sum_of(name)
            try:
                found = sha256(folder / name)
            except FileNotFoundError:
                raise ModelFileError(
                    f"{folder} lacks {name}, which its {FILE} lists: copy or export it again"
                ) from None
            if found != expected:
                raise ModelFileError(
                    f"{folder / name} is damaged or was changed: SHA-256 {found[:12]}…, {FILE} says {expected[:12]}…; "
                    "copy or export the model again"
                )


def sha256(path: Path) -> str:
    """The file's SHA-256, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(files: Iterable[Path]) -> str:
    """One for several files: 16 hexadecimal digits over their checksums."""
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()[:16]
