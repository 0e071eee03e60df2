"""`resift models`: the models that `--model` takes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.table import Table

from resift.cli._options import Json
from resift.cli._output import console, json_document, table
from resift.services.rerank.known_services import SERVICES

if TYPE_CHECKING:
    from resift.models.bundled import BundledModel


class Scheme(NamedTuple):
    """What `scheme:` at the start of a model's name means."""

    takes: str
    library: str
    install: str

    @property
    def installed(self) -> bool:
        """Whether the library is installed that it needs."""
        return find_spec(self.library) is not None


SCHEMES = {
    "resift": Scheme("a bundled model: resift:small, resift:multilingual", "onnxruntime", "pip install resift"),
    "onnx": Scheme("a folder made by `resift export`, or with a model.onnx", "onnxruntime", "pip install resift"),
    "openvino": Scheme("a folder as for onnx:, run by OpenVINO", "openvino", "pip install 'resift[openvino]'"),
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
        "a Hugging Face id or folder of a language model; the name of its template is a scheme too",
        "sentence_transformers",
        "pip install 'resift[sentence-transformers]'",
    ),
    **{
        scheme: Scheme(service.describe(scheme), "httpx", "pip install 'resift[remote]'")
        for scheme, service in SERVICES.items()
    },
}
"""scheme → what it takes. Every engine of `resift.scoring.load` has one."""


def models(
    name: Annotated[str | None, typer.Argument(help="A model, to see all that is known of it.")] = None,
    as_json: Json = False,
) -> None:
    """List the bundled models, published ones with what is known of them, and the schemes that --model takes."""
    from resift.cli import _catalogue
    from resift.models.bundled import list_bundled
    from resift.models.prompts import PROMPTS

    bundled = list_bundled()
    if own := [model for model in bundled if model.name == name]:
        if as_json:
            json_document({"model": own[0]._asdict()})
        else:
            console().print(_bundled_table(own))
        return
    if name is not None:
        entry = _catalogue.find_entry(name)
        if as_json:
            json_document({"model": entry.to_dict()})
        else:
            console().print(_catalogue.details(entry))
        return
    if as_json:
        schemes = [
            {"scheme": name, **scheme._asdict(), "installed": scheme.installed} for name, scheme in _schemes().items()
        ]
        json_document({"models": [model._asdict() for model in bundled], "schemes": schemes, **_catalogue.as_json()})
        return
    screen = console()
    screen.print(_bundled_table(bundled))
    screen.print()
    screen.print(_catalogue.as_table())
    for line in _catalogue.legend():
        screen.print(line)
    screen.print()
    screen.print(_scheme_table())
    screen.print(f"Templates of language models: {', '.join(f'{template}:' for template in PROMPTS)}")
    screen.print("Without a scheme: a folder that exists, or a Hugging Face id (organisation/model).")


def _schemes() -> dict[str, Scheme]:
    """Return all schemes, those of installed packages last."""
    from resift.scoring.load import plugin_schemes

    plugins = {
        name: Scheme(f"what the package {package} says", "resift", f"pip install {package}")
        for name, package in plugin_schemes().items()
    }
    return {**SCHEMES, **plugins}


def _bundled_table(bundled: list[BundledModel]) -> Table:
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
        if not model.install
        else (model.name, model.kind, "", "", "", model.licence, f"{model.source}; {model.install}")
        for model in bundled
    ]
    return table("", ("bundled", "kind", ">MB", ">tokens", "weights", "licence", "source"), rows, one_line=False)


def _scheme_table() -> Table:
    rows = [
        (f"{name}:", scheme.takes, "yes" if scheme.installed else scheme.install) for name, scheme in _schemes().items()
    ]
    return table("", ("--model", "takes", "installed"), rows, one_line=False)
