"""Readers by a file's suffix. A reader takes the file's bytes and name, and returns its documents."""

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
    ".markdown": "markdown:read_markdown",
    ".md": "markdown:read_markdown",
    ".pdf": "pdf:read_pdf",
    ".rst": "plain:read_rst",
    ".txt": "plain:read_text",
    ".xhtml": "html:read_xhtml",
}
"""suffix → module and function, imported with the first such file: HTML and PDF need `resift[documents]`."""

SUFFIXES = tuple(READERS)


def read(data: bytes, name: str) -> list[SourceDocument]:
    r"""Read a file's bytes into documents.

    Args:
        data: What the file holds. Text is UTF-8; HTML may declare another encoding.
        name: The file's name. Its suffix tells the format (`SUFFIXES`), and it stands in errors.

    Returns:
        The documents: one, or for jsonl one per line. Each has a title, and sections that know their headings.

    Raises:
        InputError: The suffix is of none of the formats, or the content can't be read. Names the file, and the line
            where there is one.
        MissingExtraError: HTML or PDF without `resift[documents]`.

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
    """Return a title for a file that has none: its name, in words.

    >>> stem_title("docs/refund_policy-2024.txt")
    'refund policy 2024'
    """
    return " ".join(Path(name).stem.replace("-", " ").replace("_", " ").split())
