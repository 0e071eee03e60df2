"""PDF, by pypdf: the text of each page. Scanned pages have none."""

from __future__ import annotations

import logging
from io import BytesIO

from resift.documents.content import Section, SourceDocument
from resift.documents.readers import stem_title
from resift.errors import InputError, MissingExtraError
from resift.text.normal import join_divided_words

try:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError
except ImportError as error:
    raise MissingExtraError("reading PDF files", "documents") from error

_LOG = logging.getLogger("pypdf")
if _LOG.level == logging.NOTSET:  # its warnings name no file; what can't be read is an error that does
    _LOG.setLevel(logging.ERROR)


def read_pdf(data: bytes, name: str) -> list[SourceDocument]:
    """Return a section per page; words divided at a line's end are whole again (`join_divided_words`)."""
    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"{name}: needs a password to be read")
        texts = [join_divided_words(page.extract_text()) for page in reader.pages]
        declared = reader.metadata.title if reader.metadata else None
    except InputError:
        raise
    except PyPdfError as error:
        raise InputError(f"{name}: not a readable PDF: {error}") from error
    except Exception as error:  # damaged files make pypdf raise anything: KeyError, RecursionError, zlib.error...
        raise InputError(f"{name}: not a readable PDF: {type(error).__name__}: {error}") from error
    sections = tuple(Section(text, page=number) for number, text in enumerate(texts, 1) if text.strip())
    return [SourceDocument((declared or "").strip() or stem_title(name), sections)]
