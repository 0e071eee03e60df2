"""`resift models`: what can be named as a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, NamedTuple

import typer

from resift.cli._options import Json
from resift.cli._output import console, json_document, table
from resift.services.rerank.known_services import SERVICES


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
    "openvino": Scheme("the same folder, run by OpenVINO", "openvino", "pip install 'resift[openvino]'"),
    "colbert": Scheme(
        "a Hugging Face id or folder of a late-interaction model (sentence-transformers', pylate's)",
        "sentence_transformers",
        "pip install 'resift[late-interaction]'",
    ),
    "openai": Scheme(
        "an LLM behind an OpenAI-compatible endpoint: openai:gpt-4o-mini", "httpx", "pip install 'resift[remote]'"
    ),
    "st": Scheme(
        "a Hugging Face id or folder of a cross-encoder",
        "sentence_transformers",
        "pip install 'resift[sentence-transformers]'",
    ),
    "lm": Scheme(
        "the same of a language model; its template's name is a scheme too",
        "sentence_transformers",
        "pip install 'resift[sentence-transformers]'",
    ),
    **{
        scheme: Scheme(service.describe(scheme), "httpx", "pip install 'resift[remote]'")
        for scheme, service in SERVICES.items()
    },
}
"""scheme → what it takes. Every engine of `resift.scoring.load` has one."""

KINDS = {"pair": "cross-encoder", "split": "cross-encoder (split)", "static": "bi-encoder (static)"}


def models(
    name: Annotated[str | None, typer.Argument(help="A published model, to see all of its row.")] = None,
    as_json: Json = False,
) -> None:
    """List the bundled models, published ones with what is known of them, and the schemes that --model takes."""
    from resift.cli import _catalogue
    from resift.models.catalogue import measures
    from resift.models.prompts import PROMPTS

    if name is not None:
        entry = _catalogue.one(name)
        if as_json:
            json_document({"model": entry.to_dict()})
        else:
            console().print(_catalogue.details(entry))
        return
    bundled = _bundled()
    if as_json:
        schemes = [{"scheme": name, **one._asdict(), "installed": one.installed} for name, one in SCHEMES.items()]
        listed = [model._asdict() for model in bundled]
        json_document({"models": listed, "schemes": schemes, **_catalogue.as_json()})
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
    screen.print(_catalogue.as_table())
    what = measures()[_catalogue.SHOWN]
    screen.print(f"MTEB: {what.what}. Published by {what.source}.")
    screen.print("tokens: read by default / at most. All of a row: resift models NAME")
    screen.print()
    ways = [(f"{name}:", one.takes, "yes" if one.installed else one.install) for name, one in SCHEMES.items()]
    screen.print(table("", ("--model", "takes", "installed"), ways, one_line=False))
    screen.print(f"Templates of language models: {', '.join(f'{known}:' for known in PROMPTS)}")
    screen.print("Without a scheme: a folder that exists, or a Hugging Face id (organisation/model).")


def _bundled() -> list[Bundled]:
    from resift.models.bundled import BUNDLED, DENSE, STATIC, TINY, TINY_PARTS, bundled_folder
    from resift.models.manifest import ENCODER, Manifest

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
    source = f"parts of {found[0].name} and {found[-1].name}, at no extra bytes"
    size = sum((bundled_folder(part) / name).stat().st_size for part, names in TINY_PARTS.items() for name in names)
    # What it reads of them has rounded weights alone, as the table of the last one.
    kind, precision = "cross-encoder (tiny)", found[-1].precision
    tiny = found[0]._replace(name=f"resift:{TINY}", kind=kind, bytes=size, precision=precision, source=source)
    return [found[0], tiny, *found[1:], dense]
