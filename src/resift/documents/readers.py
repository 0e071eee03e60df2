"""Readers by a file's suffix. A reader takes the file's bytes and name, and returns its documents."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from resift.documents.content import SourceDocument
from resift.errors import InputError

Reader = Callable[[bytes, str], list[SourceDocument]]

CODE_SUFFIXES = (
    ".adoc", ".asm", ".bash", ".bat", ".bib", ".c", ".cc", ".cfg", ".clj", ".cmake", ".conf", ".cpp", ".cs", ".css",
    ".cu", ".cxx", ".dart", ".diff", ".ex", ".exs", ".f90", ".fs", ".go", ".gradle", ".graphql", ".groovy", ".h",
    ".hpp", ".hs", ".ini", ".java", ".jl", ".js", ".jsx", ".kt", ".kts", ".less", ".lisp", ".lua", ".m", ".mjs", ".ml",
    ".nix", ".org", ".patch", ".php", ".pl", ".pm", ".proto", ".ps1", ".py", ".pyi", ".pyx", ".r", ".rb", ".rs",
    ".sass", ".scala", ".scss", ".sh", ".sol", ".sql", ".swift", ".tcl", ".tex", ".tf", ".toml", ".ts", ".tsx", ".vb",
    ".vue", ".yaml", ".yml", ".zig", ".zsh",
)  # fmt: skip
"""Source code, settings, and languages of text without a reader of their own."""

READERS = {
    ".csv": "tables:read_csv",
    ".docm": "word:read_docx",
    ".docx": "word:read_docx",
    ".eml": "mail:read_eml",
    ".epub": "epub:read_epub",
    ".htm": "html:read_html",
    ".html": "html:read_html",
    ".ipynb": "notebook:read_notebook",
    ".jsonl": "records:read_jsonl",
    ".markdown": "markdown:read_markdown",
    ".md": "markdown:read_markdown",
    ".mdx": "markdown:read_markdown",
    ".pdf": "pdf:read_pdf",
    ".pptx": "slides:read_pptx",
    ".rst": "plain:read_rst",
    ".tsv": "tables:read_csv",
    ".txt": "plain:read_text",
    ".xhtml": "html:read_xhtml",
    ".xlsm": "sheets:read_xlsx",
    ".xlsx": "sheets:read_xlsx",
    **dict.fromkeys(CODE_SUFFIXES, "plain:read_code"),
}
"""suffix → module and function, imported with the first such file: some need `resift[documents]`."""

SUFFIXES = tuple(READERS)

MOST_BYTES = 512 << 20
"""Of a file."""
MOST_PARSED_BYTES = 64 << 20
"""Of a file that becomes a tree in memory, which takes many times as much."""
_PARSED = frozenset((".eml", ".htm", ".html", ".ipynb", ".xhtml"))


def read(data: bytes, name: str) -> list[SourceDocument]:
    r"""Read a file's bytes into documents.

    Args:
        data: What the file holds. Text is UTF-8, or what its byte order mark says; HTML may declare another encoding.
        name: The file's name. Its suffix tells the format (`SUFFIXES`), and it stands in errors.

    Returns:
        The documents: one, or for jsonl one per line. Each has a title, and sections that know their headings.

    Raises:
        InputError: The suffix is of none of the formats, or the content can't be read. Names the file, and the line
            where there is one.
        MissingExtraError: The library for the format is not installed: `resift[documents]` brings it.

    >>> read(b"# A guide\n\nText.", "a.md")[0].title
    'A guide'
    """
    suffix = Path(name).suffix.lower()
    if suffix not in READERS:
        raise InputError(f"{name}: {cannot_read(suffix)}")
    check_size(len(data), name)
    module, _, function = READERS[suffix].partition(":")
    reader: Reader = getattr(import_module(f"resift.documents.{module}"), function)
    return reader(data, name)


def cannot_read(suffix: str) -> str:
    """Return the words for a file that no reader is for."""
    kinds = ", ".join(suffix for suffix in SUFFIXES if suffix not in CODE_SUFFIXES)
    return f"can't read {suffix or 'files without suffix'}; can read {kinds}, and source code"


def check_size(size: int, name: str) -> None:
    """Raise InputError for a file of more bytes than are read."""
    most = MOST_PARSED_BYTES if Path(name).suffix.lower() in _PARSED else MOST_BYTES
    if size > most:
        raise InputError(f"{name}: {size:,} bytes; at most {most:,} of such a file are read: divide it")


def stem_title(name: str) -> str:
    """Return a title for a file that has none: its name, in words.

    >>> stem_title("docs/refund_policy-2024.txt")
    'refund policy 2024'
    """
    return " ".join(Path(name).stem.replace("-", " ").replace("_", " ").split())
