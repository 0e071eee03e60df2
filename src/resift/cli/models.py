"""`resift models`: what can be named as a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from resift.cli._options import Json
from resift.cli._output import console, json_document, table


class Bundled(NamedTuple):
    """A model that travels in the wheel."""

    name: str
    kind: str
    bytes: int
    max_length: int | None
    """Tokens of a text it reads; None where any length will do."""
    precision: str
    licence: str
    source: str


class Scheme(NamedTuple):
    """What `scheme:` in a model's name stands for."""

    takes: str
    library: str
    install: str

    @property
    def installed(self) -> bool:
        """Whether its library is there."""
        return find_spec(self.library) is not None


SCHEMES = {
    "resift": Scheme("a bundled model: resift:small", "onnxruntime", "pip install resift"),
    "onnx": Scheme("a folder made by `resift export`, or with a model.onnx", "onnxruntime", "pip install resift"),
    "st": Scheme(
        "a Hugging Face id or folder of a cross-encoder",
        "sentence_transformers",
        "pip install 'resift[sentence-transformers]'",
    ),
}
"""scheme → what it takes. Every engine of `resift.load` has one."""

KINDS = {"pair": "cross-encoder", "split": "cross-encoder (split)", "static": "bi-encoder (static)"}


def models(as_json: Json = False) -> None:
    """List the bundled models, and the schemes that --model takes."""
    bundled = _bundled()
    if as_json:
        schemes = [{"scheme": name, **one._asdict(), "installed": one.installed} for name, one in SCHEMES.items()]
        json_document({"models": [model._asdict() for model in bundled], "schemes": schemes})
        return
    screen = console()
    rows = [
        (
            model.name,
            model.kind,
            f"{model.bytes / 1e6:.1f}",
            "any" if model.max_length is None else str(model.max_length),
            model.precision,
            model.licence,
            model.source,
        )
        for model in bundled
    ]
    screen.print(table("", ("bundled", "kind", ">MB", ">tokens", "weights", "licence", "source"), rows, one_line=False))
    screen.print()
    ways = [(f"{name}:", one.takes, "yes" if one.installed else one.install) for name, one in SCHEMES.items()]
    screen.print(table("", ("--model", "takes", "installed"), ways, one_line=False))
    screen.print("Without a scheme: a folder that exists, or a Hugging Face id (organisation/model).")


def _bundled() -> list[Bundled]:
    from resift.manifest import ENCODER, Manifest
    from resift.models import BUNDLED, DENSE, STATIC, bundled_folder

    found = []
    for folder in map(bundled_folder, (*BUNDLED, STATIC)):
        manifest = Manifest.read(folder)
        size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        length = None if manifest.kind == "static" else manifest.document_length
        kind = KINDS[manifest.kind]
        found.append(Bundled(manifest.name, kind, size, length, manifest.precision, manifest.licence, manifest.source))
    # No folder of its own: the default reranker's encoder.
    files = bundled_folder(BUNDLED[0])
    size = sum((files / name).stat().st_size for name in (ENCODER, "tokenizer.json"))
    source = f"the encoder of {found[0].name}, at no extra bytes"
    dense = found[0]._replace(name=f"resift:{DENSE}", kind="bi-encoder (dense)", bytes=size, source=source)
    return [*found, dense]
