"""`resift.json`, the manifest of a model folder: what the folder holds, and the checksums that loading verifies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from resift._util.atomic import write_whole
from resift._util.model_files import has_file, locate_file, read_json_object, report_unreadable, way_out
from resift.errors import ModelFileError

MANIFEST_FILE = "resift.json"
MANIFEST_FORMAT = 1
MANIFEST_KINDS = ("pair", "split", "static")
TEXT_FIELDS = ("name", "kind", "precision", "source", "licence")
ENCODER, READER = "encoder.onnx", "reader.onnx"
"""The two graphs of a `split` model."""
KEPT_READER = "kept_reader.onnx"
"""The reader once more, for kept states as they are, in 8 bits; models that earlier versions exported have none."""
TERMS, VOCABULARY = "terms.onnx", "vocabulary.npz"
"""The files of the sparse encoder that a `split` model may have."""


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
        """Read the manifest of a folder and verify the folder's files.

        Args:
            folder: The model folder.
            only: Names of the files to verify. Default: all that the manifest lists.

        Returns:
            The manifest.

        Raises:
            ModelFileError: There is no manifest, it can't be read, or a file is missing or has another checksum.
        """
        manifest = cls.peek(folder)
        manifest._verify(folder, manifest.files if only is None else only)
        return manifest

    @classmethod
    def peek(cls, folder: Path) -> Manifest:
        """Read the manifest of a folder without reading the files it lists: enough to tell models apart.

        Args:
            folder: The model folder.

        Returns:
            The manifest.

        Raises:
            ModelFileError: There is no manifest, or it can't be read.
        """
        if not has_file(folder, MANIFEST_FILE):
            raise ModelFileError(f"{folder} has no {MANIFEST_FILE}: it is no exported model folder")
        path = locate_file(folder, MANIFEST_FILE)
        data = read_json_object(path)
        written = data.pop("format", None)
        if written != MANIFEST_FORMAT:
            raise ModelFileError(
                f"{path} has format {written}, this resift reads format {MANIFEST_FORMAT}: export the model again"
            )
        try:
            manifest = cls(**data)
        except TypeError as error:
            raise ModelFileError(f"{path} is no manifest: {error}; copy or export the model again") from error
        manifest._check_fields(path)
        return manifest

    def locate(self, folder: Path, name: str) -> Path:
        """Return the path of one of the model's files.

        Args:
            folder: The model folder.
            name: Name of the file.

        Returns:
            The path of a regular file that the manifest lists.

        Raises:
            ModelFileError: The manifest doesn't list the file, or it may not be opened (`locate_file`).
        """
        self.checksum_of(name)
        return locate_file(folder, name)

    @property
    def fingerprint(self) -> str:
        """A text that differs for two models of one name: 16 hexadecimal digits over the checksums of all files."""
        return self.fingerprint_of(self.files)

    def fingerprint_of(self, files: Iterable[str]) -> str:
        """Return the fingerprint of a part of the model.

        Args:
            files: Names of the files, in any order.

        Returns:
            16 hexadecimal digits over the checksums of these files.

        Raises:
            ModelFileError: The manifest doesn't list one of them.
        """
        return hashlib.sha256("".join(self.checksum_of(name) for name in sorted(files)).encode()).hexdigest()[:16]

    def checksum_of(self, name: str) -> str:
        """Return the SHA-256 of a file, from the manifest.

        Args:
            name: Name of the file.

        Returns:
            64 hexadecimal digits.

        Raises:
            ModelFileError: The manifest doesn't list the file.
        """
        if name not in self.files:
            raise ModelFileError(
                f"{self.name} is a {self.kind} model, whose {MANIFEST_FILE} lists no {name}: export the model again, "
                "since a file without a checksum is not read"
            )
        return self.files[name]

    def write(self, folder: Path, files: Iterable[str]) -> Manifest:
        """Write `resift.json` into a folder, whole or not at all.

        Args:
            folder: The model folder.
            files: Names of the files in it that the manifest lists, with the checksums they have now.

        Returns:
            The manifest as it was written.
        """
        checksums = {name: sha256(folder / name) for name in sorted(files)}
        data = {"format": MANIFEST_FORMAT, **asdict(self), "files": checksums}
        text = json.dumps(data, indent=2) + "\n"
        write_whole(folder / MANIFEST_FILE, lambda path: path.write_text(text, encoding="utf-8"))
        return replace(self, files=checksums)

    def _verify(self, folder: Path, names: Iterable[str]) -> None:
        for name in names:
            expected = self.checksum_of(name)
            path = locate_file(folder, name)
            with report_unreadable(path, "file"):
                checksum = sha256(path)
            if checksum != expected:
                raise ModelFileError(
                    f"{path} is damaged or was changed: SHA-256 {checksum[:12]}…, {MANIFEST_FILE} says "
                    f"{expected[:12]}…; {way_out(path)}"
                )

    def _check_fields(self, path: Path) -> None:
        """Raise ModelFileError for a field of another type or out of its range. `path` is the manifest's own."""
        wrong = [name for name in TEXT_FIELDS if not isinstance(getattr(self, name), str)]
        lengths: dict[str, int | None] = {"document_length": self.document_length}
        if self.query_length is not None or self.kind == "split":
            lengths["query_length"] = self.query_length
        wrong += [name for name, length in lengths.items() if not isinstance(length, int) or length < 1]
        if not isinstance(self.files, dict) or not all(isinstance(value, str) for value in self.files.values()):
            wrong.append("files")
        if wrong:
            raise ModelFileError(
                f"{path} is no manifest: {', '.join(wrong)} can't be used; copy or export the model again"
            )
        if self.kind not in MANIFEST_KINDS:
            raise ModelFileError(
                f"{path}: unknown kind {self.kind!r}, expected one of {', '.join(MANIFEST_KINDS)}; a newer resift may "
                "have written it"
            )


def sha256(path: Path) -> str:
    """Return the file's SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_files(files: Iterable[Path]) -> str:
    """Return the fingerprint of several files: 16 hexadecimal digits over their checksums, in this order."""
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()[:16]
