"""From a file's suffix to what reads it. A reader takes the file's bytes and name, and gives its documents."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from resift.documents.content import SourceDocument
from resift.errors import InputError

Reader = Callable[[bytes, str], list[SourceDocument]]

READERS = {
    ".htm": "html:read_html",
    ".html": "html:read_html",
    ".jsonl": "records:read_jsonl",
    ".markdown": "plain:read_markdown",
    ".md": "plain:read_markdown",
    ".pdf": "pdf:read_pdf",
    ".rst": "plain:read_rst",
    ".txt": "plain:read_text",
}
"""suffix → module and function, imported when the first such file comes: HTML and PDF need `resift[documents]`."""

SUFFIXES = tuple(READERS)


def read(data: bytes, name: str) -> list[SourceDocument]:
    r"""The documents in a file's bytes; `name` says the format and stands in errors.

    Raises InputError naming the file, and the line where there is one, for content that can't be read, and
    MissingExtraError for a format whose library is not installed.

    >>> read(b"# A guide\n\nText.", "a.md")[0].title
    'A guide'
    """
    suffix = Path(name).suffix.lower()
    if suffix not in READERS:
        raise InputError(f"{name}: can't read {suffix or 'a file without suffix'}; can read {', '.join(SUFFIXES)}")
    module, _, function = READERS[suffix].partition(":")
    reader: Reader = getattr(import_module(f"resift.documents.{module}"), function)
    return reader(data, name)


def stem_title(name: str) -> str:
    """A title for a file that has none.

    >>> stem_title("docs/refund_policy-2024.txt")
    'refund policy 2024'
    """
    return " ".join(Path(name).stem.replace("-", " ").replace("_", " ").split())
