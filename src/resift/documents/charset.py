"""Bytes to text as browsers read them: the WHATWG's names of encodings, by webencodings."""

from __future__ import annotations

import codecs
import re

from resift._util.jsonl import not_utf8
from resift.errors import InputError, MissingExtraError

try:
    import webencodings
except ImportError as error:
    raise MissingExtraError("reading web pages and mails", "documents") from error

DECLARED_WITHIN = 4096
"""Bytes in which a page declares its encoding. The standard says 1,024; browsers look further."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(rb"<meta[\s/][^>]*?charset\s*+=\s*+[\"']?+\s*+([^\s\"'/>;]++)", re.IGNORECASE)
_XML = re.compile(rb"\s*+<\?xml\s[^>]*?encoding\s*+=\s*+[\"']([^\"'>]++)[\"']")
# Python's codec for GBK knows fewer characters than browsers do. Whoever can read "utf-16" in the bytes reads ASCII.
_CODECS = {"gbk": "gb18030", "x-user-defined": "cp1252", "utf-16le": "utf-8", "utf-16be": "utf-8"}
_KEEP_CONTROLS = "resift-keep-controls"


def decode_page(data: bytes, name: str) -> str:
    r"""Decode a web page: by its byte order mark, else as it declares, else as UTF-8. Line ends become `\n`.

    Raises InputError naming file and line.

    >>> decode_page('<meta charset="gb2312">\u9555'.encode("gb18030"), "a.html")[-1]
    '镕'
    """
    for bom, codec in _BOMS:
        if data.startswith(bom):
            return _decode(data[len(bom) :], codec, name)
    head = b" ".join(part.partition(b"-->")[2] for part in (b"-->" + data[:DECLARED_WITHIN]).split(b"<!--"))
    declared = _XML.match(head) or _META.search(head)
    return decode_declared(data, declared[1].decode("latin-1") if declared else "utf-8", name)


def decode_declared(data: bytes, label: str, name: str) -> str:
    """Decode bytes by the declared name of an encoding, as browsers understand it.

    Raises InputError naming file and line, for an unknown encoding too.
    """
    encoding = webencodings.lookup(label.strip())
    if encoding is None or encoding.name == "replacement":
        raise InputError(
            f"{name}: declares the encoding {label!r}, which browsers don't read; convert the file to UTF-8"
        )
    return _decode(data, _CODECS.get(encoding.name, encoding.codec_info.name), name)


def _decode(data: bytes, codec: str, name: str) -> str:
    try:
        text = data.decode(codec, "strict" if codec.startswith("utf") else _KEEP_CONTROLS)
    except UnicodeDecodeError as error:
        where = f"{name}:{data.count(bytes([10]), 0, error.start) + 1}"
        if codec == "utf-8":
            raise not_utf8(error, where) from None
        raise InputError(f"{where}: not {codec.upper()}, which it declares; convert the file to UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _keep_controls(error: UnicodeError) -> tuple[str, int]:
    """Read a byte that an encoding of Windows leaves undefined as the control character of its number."""
    if isinstance(error, UnicodeDecodeError) and error.end - error.start == 1 and error.encoding == "charmap":
        return chr(error.object[error.start]), error.end
    raise error


codecs.register_error(_KEEP_CONTROLS, _keep_controls)
