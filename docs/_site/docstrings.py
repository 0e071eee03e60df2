"""Two forms of our docstrings that the parser of the API pages doesn't know, put into words that it knows."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"(?:^|(?<=\n\n))(>>> .*?)(?=\n\n|\Z)", re.DOTALL)
MORE_NAMES = re.compile(r"^( {4}[\w, ]+,)\n {8}(?=[\w, ]+[,:])", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Fences doctests that follow the sections, and joins a list of arguments that goes over two lines."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite a docstring before it is parsed."""
        if obj.docstring:
            obj.docstring.value = rewrite(obj.docstring.value)


def rewrite(docstring: str) -> str:
    """Return a docstring in the form that is parsed."""
    fenced = DOCTEST.sub(r"```pycon\n\1\n```", docstring)
    return MORE_NAMES.sub(r"\1 ", MORE_NAMES.sub(r"\1 ", fenced))
