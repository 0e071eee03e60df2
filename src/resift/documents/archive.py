"""ZIP archives, which Office files and e-books are: opened only if what they unpack to can be read."""

from __future__ import annotations

import zipfile
from io import BytesIO

from resift.errors import InputError

MOST_PARTS = 20_000
MOST_BYTES = 1 << 30
"""Of all parts, unpacked."""
MOST_TEXT_BYTES = 64 << 20
"""Of one part that is XML or HTML, unpacked: a parsed one takes many times as much memory."""

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_TEXT_PARTS = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".html", ".htm", ".vml")
_ENTITY = tuple("<!ENTITY".encode(codec) for codec in ("utf-8", "utf-16-le", "utf-16-be"))


def open_archive(data: bytes, name: str, kind: str, most_text: int | None = None) -> zipfile.ZipFile:
    """Open an archive, of which no part has been read yet. `kind` is what it should be, with its article.

    `most_text` takes the place of `MOST_TEXT_BYTES` where it is less.

    Raises:
        InputError: It is none, has a password, or would unpack to more than the limits above.
    """
    if data.startswith(_OLE):
        raise InputError(f"{name}: has a password, or is of Office before 2007; save it without, in the present format")
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{name}: not {kind}: {error}") from None
    most_text = min(MOST_TEXT_BYTES, most_text or MOST_TEXT_BYTES)
    parts = archive.infolist()
    size = sum(part.file_size for part in parts)
    if len(parts) > MOST_PARTS or size > MOST_BYTES:
        raise InputError(
            f"{name}: {len(parts):,} parts of {size:,} bytes, unpacked; "
            f"at most {MOST_PARTS:,} of {MOST_BYTES:,} bytes are read"
        )
    for part in parts:
        if part.flag_bits & 1:
            raise InputError(f"{name}: needs a password to be read")
        if part.filename.lower().endswith(_TEXT_PARTS) and part.file_size > most_text:
            raise InputError(
                f"{name}: {part.filename} has {part.file_size:,} bytes, unpacked; at most {most_text:,} are read"
            )
    return archive


def check_office(data: bytes, name: str, kind: str, most_text: int | None = None) -> None:
    """Refuse an Office file that can't be read with safety. Raises InputError; `open_archive` says for what else.

    Entities, which could name other files or grow without bound, are in no file of an Office program.
    """
    with open_archive(data, name, kind, most_text) as archive:
        for part in archive.infolist():
            if part.filename.lower().endswith(_TEXT_PARTS):
                content = read_part(archive, part.filename, name, kind)
                if any(mark in content for mark in _ENTITY):
                    raise InputError(f"{name}: {part.filename} declares entities, which no Office program does")


def read_part(archive: zipfile.ZipFile, part: str, name: str, kind: str) -> bytes:
    """Return a part, unpacked. Raises InputError where it is missing or damaged."""
    try:
        return archive.read(part)
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError...
        raise InputError(f"{name}: not {kind}: {part}: {error}") from None
