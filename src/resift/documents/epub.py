"""E-books: the chapters of an EPUB in their order, each read as a web page."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

from resift.documents.archive import open_archive, read_part
from resift.documents.content import Section, SourceDocument
from resift.documents.html import read_xhtml
from resift.documents.readers import stem_title
from resift.errors import InputError, MissingExtraError

try:
    from defusedxml import ElementTree
except ImportError as error:
    raise MissingExtraError("reading e-books", "documents") from error

KIND = "a readable EPUB"
_CONTAINER = "META-INF/container.xml"
_PROTECTED = "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html")


def read_epub(data: bytes, name: str) -> list[SourceDocument]:
    """Return the sections of all chapters, as one document with the book's title."""
    with open_archive(data, name, KIND) as archive:
        root = _parse(archive, _CONTAINER, name).find(".//{*}rootfile")
        package_path = "" if root is None else root.get("full-path", "")
        package = _parse(archive, package_path, name)
        protected = _protected(archive, name)
        sections: list[Section] = []
        for path in _chapters(package, posixpath.dirname(package_path)):
            if path in protected:
                raise InputError(f"{name}: {path} is encrypted: the book is protected against copying")
            sections += _sections(read_part(archive, path, name, KIND), f"{name}/{path}")
    title = package.find(".//{http://purl.org/dc/elements/1.1/}title")
    words = " ".join((title.text or "").split()) if title is not None else ""
    return [SourceDocument(words or stem_title(name), tuple(sections))]


def _parse(archive: ZipFile, path: str, name: str) -> Any:
    try:
        return ElementTree.fromstring(read_part(archive, path, name, KIND))
    except InputError:
        raise
    except Exception as error:  # ParseError; DTDForbidden and other refusals of defusedxml; RecursionError
        raise InputError(f"{name}: not {KIND}: {path}: {type(error).__name__}: {error}") from None


def _chapters(package: Any, folder: str) -> Iterator[str]:
    """Yield the paths of the book's pages in reading order, without its table of contents."""
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _PAGES:
            continue
        if "nav" not in (item.get("properties") or "").split():
            yield posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))


def _protected(archive: ZipFile, name: str) -> frozenset[str]:
    if _PROTECTED not in archive.namelist():
        return frozenset()
    references = _parse(archive, _PROTECTED, name).iterfind(".//{*}CipherReference")
    return frozenset(unquote(reference.get("URI", "")) for reference in references)


def _sections(page: bytes, path: str) -> list[Section]:
    """Return a chapter's sections; what stands before its first heading is under the chapter's title."""
    (document,) = read_xhtml(page, path)
    titles = (document.title,) if document.title != stem_title(path) else ()
    return [section if section.headings else replace(section, headings=titles) for section in document.sections]
