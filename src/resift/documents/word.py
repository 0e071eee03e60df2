"""Word documents, by mammoth: it makes HTML of their styles, which is read as a web page."""

from __future__ import annotations

import html
import re
from io import BytesIO

from resift.documents.archive import check_office
from resift.documents.content import SourceDocument
from resift.documents.html import page_document
from resift.errors import InputError, MissingExtraError

try:
    import mammoth
except ImportError as error:
    raise MissingExtraError("reading Word documents", "documents") from error

KIND = "a readable Word document"
MOST_TEXT_BYTES = 32 << 20
"""Of a part, unpacked: mammoth takes some 25 times as much memory."""
_STYLES = "p[style-name='Title'] => title:fresh"
_TITLE = re.compile(r"<title>([^<]++)</title>")


def read_docx(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per heading.

    The title is the paragraph of that style, else the only top heading, else the file's name. What was deleted while
    changes were tracked, comments, and the pages' headers and footers are left out.
    """
    check_office(data, name, KIND, MOST_TEXT_BYTES)
    try:
        page = mammoth.convert_to_html(
            BytesIO(data), style_map=_STYLES, convert_image=mammoth.images.img_element(lambda _: {})
        ).value
    except Exception as error:  # damaged files make it raise anything: KeyError, ExpatError, RecursionError...
        raise InputError(f"{name}: not {KIND}: {type(error).__name__}: {error}") from error
    title = ""
    if found := _TITLE.search(page):
        title = " ".join(html.unescape(found[1]).split())
        page = page[: found.start()] + page[found.end() :]
    return [page_document(page, name, title=title)]
