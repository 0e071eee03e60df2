"""The options that are documented for an engine are those it takes."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import resift.models.options
from resift.models.options import ModelOptions
from resift.scoring.load import ENGINES, WITHOUT_FOLDER
from resift.services.rerank.known_services import SERVICES


def documented() -> dict[str, set[str]]:
    """Option → engines, as the docstrings of `ModelOptions` say."""
    module = ast.parse(Path(resift.models.options.__file__).read_text(encoding="utf-8"))
    (options,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "ModelOptions")
    engines: dict[str, set[str]] = {}
    for field, text in zip(options.body, options.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(field.target, ast.Name)
            assert isinstance(text, ast.Expr)
            docstring = ast.literal_eval(text.value)
            names = set(re.findall(r"`(\w+)`", docstring.partition("Supported by: ")[2]))
            engines[field.target.id] = names - {"services"} | (set(SERVICES) if "services" in names else set())
    return engines


def taken() -> dict[str, set[str]]:
    """Option → engines that have it as a keyword."""
    engines: dict[str, set[str]] = {}
    for scheme, path in {**ENGINES, **WITHOUT_FOLDER}.items():
        module, _, name = path.partition(":")
        engine: Any = getattr(import_module(module), name)
        for parameter in inspect.signature(engine).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.name in ModelOptions.__annotations__:
                engines.setdefault(parameter.name, set()).add(scheme)
    return engines


def test_each_option_lists_the_engines_that_take_it() -> None:
    assert documented() == taken()
