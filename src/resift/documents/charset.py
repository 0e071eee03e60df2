"""Bytes to text as browsers read them: the WHATWG's names of encodings, by webencodings."""

from __future__ import annotations

import codecs
from contextlib import suppress

from resift._util.jsonl import not_utf8
from resift.errors import InputError, MissingExtraError

try:
    import webencodings
except ImportError as error:
    raise MissingExtraError("reading web pages and mails", "documents") from error

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Python's codec for GBK knows fewer characters than browsers do. Whoever can read "utf-16" in the bytes reads ASCII.
_CODECS = {"gbk": "gb18030", "x-user-defined": "cp1252", "utf-16le": "utf-8", "utf-16be": "utf-8"}
_AS_BROWSERS = "resift-as-browsers"


def decode_declared(data: bytes, label: str, name: str) -> str:
    r"""Decode bytes: by their byte order mark, else by the declared name of an encoding. Line ends become `\n`.

    Raises InputError naming file and line. A name that browsers don't know is no harm where the bytes are UTF-8.

    >>> decode_declared("\u9555".encode("gb18030"), "gb2312", "a.html")
    '镕'
    """
    for mark, codec in _BOMS:
        if data.startswith(mark):
            return _decode(data[len(mark) :], codec, name)
    encoding = webencodings.lookup(label.strip())
    if encoding is None and is_utf8(data):
        return _decode(data, "utf-8", name)
    if encoding is None or encoding.name == "replacement":
        raise InputError(
            f"{name}: declares the encoding {label!r}, which browsers don't read; convert the file to UTF-8"
        )
    return _decode(data, _CODECS.get(encoding.name, encoding.codec_info.name), name)


def is_utf8(data: bytes) -> bool:
    """Return whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode(data: bytes, codec: str, name: str) -> str:
    try:
        text = data.decode(codec, "strict" if codec.startswith("utf") else _AS_BROWSERS)
    except UnicodeDecodeError as error:
        where = f"{name}:{data.count(bytes([10]), 0, error.start) + 1}"
        if codec == "utf-8":
            raise not_utf8(error, where) from None
        raise InputError(f"{where}: not {codec.upper()}, which it declares; convert the file to UTF-8") from None
    if text.count("\0") * 10 > len(text):
        raise InputError(f"{name}: not a text, or UTF-16 without a byte order mark: it has NUL bytes; convert the file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _as_browsers(error: UnicodeError) -> tuple[str, int]:
    """Read what browsers read and Python's codec doesn't.

    A byte that an encoding of Windows leaves undefined is the control character of its number; the euro of Windows'
    GBK; and the characters of Windows in EUC-JP, such as circled numbers.
    """
    if isinstance(error, UnicodeDecodeError):
        found = error.object[error.start : error.start + 2]
        if error.encoding == "charmap" and error.end - error.start == 1:
            return chr(found[0]), error.end
        if error.encoding == "gb18030" and found[0] == 0x80:
            return "€", error.start + 1
        if error.encoding == "euc_jp" and len(found) == 2 and min(found) > 0xA0 and max(found) < 0xFF:
            row, cell = found[0] - 0xA0, found[1] - 0xA0
            lead = (row - 1) // 2 + (0x81 if row < 63 else 0xC1)
            trail = cell + (0x9E if row % 2 == 0 else 0x3F if cell < 64 else 0x40)
            with suppress(UnicodeDecodeError):
                return bytes((lead, trail)).decode("cp932"), error.start + 2
    raise error


codecs.register_error(_AS_BROWSERS, _as_browsers)
