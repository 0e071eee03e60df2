"""Mails: subject, people and text, by Python's `email`. Attachments are named, not read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

from resift.documents.charset import decode_declared, is_utf8
from resift.documents.content import Section, SourceDocument
from resift.documents.html import page_document
from resift.documents.readers import stem_title
from resift.errors import InputError

LONGEST_HEADER = 20_000
"""Characters. Hundreds of people fit; what is beyond is cut off."""
DEEPEST = 20
"""Forwarded mails in forwarded mails, and parts in parts."""


def read_eml(data: bytes, name: str) -> list[SourceDocument]:
    """Return a mail's text, with its people above it; a forwarded mail is a section of its own."""
    try:
        message = message_from_bytes(data)
        sections = list(_sections(message, name, (), 0))
        title = _header(message, "Subject")
    except InputError:
        raise
    except (
        Exception
    ) as error:  # headers of junk mails make `email` raise anything: ValueError, IndexError, RecursionError
        raise InputError(f"{name}: not a readable mail: {type(error).__name__}: {error}") from error
    return [SourceDocument(title or stem_title(name), tuple(section for section in sections if section.text))]


def _sections(message: Message, name: str, headings: tuple[str, ...], depth: int) -> Iterator[Section]:
    people = [f"{header}: {value}" for header in ("From", "To", "Cc", "Date") if (value := _header(message, header))]
    texts: list[str] = []
    forwarded: list[Message] = []
    files: list[str] = []
    _collect(message, name, texts, forwarded, files, depth)
    attached = [f"Attached: {', '.join(files)}"] if files else []
    yield Section("\n\n".join(part for part in ("\n".join(people), *texts, *attached) if part), headings)
    for inner in forwarded:
        subject = _header(inner, "Subject") or "forwarded mail"
        yield from _sections(inner, name, (*headings, subject), depth + 1)


def _collect(
    message: Message, name: str, texts: list[str], forwarded: list[Message], files: list[str], depth: int
) -> None:
    """Put what a message consists of into these lists."""
    if depth > DEEPEST:
        raise InputError(f"{name}: nested too deeply to be read")
    kind = message.get_content_type()
    parts = [part for part in message.get_payload() if isinstance(part, Message)] if message.is_multipart() else []
    if kind == "message/rfc822":
        forwarded += parts
    elif kind == "multipart/alternative":
        before = len(texts)
        for part in sorted(filter(_rank, parts), key=_rank):
            _collect(part, name, texts, forwarded, files, depth + 1)
            if any(map(str.strip, texts[before:])):
                break  # else the form is empty, as some programs leave the plain one
    elif parts:
        for part in parts:
            _collect(part, name, texts, forwarded, files, depth + 1)
    elif any(len(str(message.get(header, ""))) > LONGEST_HEADER for header in ("Content-Type", "Content-Disposition")):
        raise InputError(f"{name}: a header of more than {LONGEST_HEADER:,} characters")
    elif message.get_filename() or message.get_content_disposition() == "attachment":
        files.append(" ".join((message.get_filename() or kind).split()))
    elif kind.startswith(("text/", "multipart/")):  # a multipart without parts is text
        texts.append(_text(message, name, kind))


def _rank(part: Message) -> int:
    """Return which of several forms of one text to read first: plain text, then what may hold HTML; 0 for neither."""
    kind = part.get_content_type()
    return 1 if kind == "text/plain" else 2 if kind == "text/html" or kind.startswith("multipart/") else 0


def _text(part: Message, name: str, kind: str) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset("us-ascii")
    if charset == "us-ascii":  # what is not said, or said by a program that doesn't look
        charset = "utf-8" if is_utf8(data) else "windows-1252"
    text = decode_declared(data, charset, name)
    if kind == "text/html":
        sections = page_document(text, name).sections
        return "\n\n".join("\n\n".join(filter(None, (*section.headings[-1:], section.text))) for section in sections)
    return text.strip()


def _header(message: Message, name: str) -> str:
    """Return a header's words. The newer policies of `email` would decode it too, but take the square of its length."""
    value = str(message.get(name, ""))[:LONGEST_HEADER]
    with suppress(HeaderParseError, LookupError, ValueError):  # ValueError: bytes that are not what they declare
        value = str(make_header(decode_header(value)))
    return " ".join(value.split())
