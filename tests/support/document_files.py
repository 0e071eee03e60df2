"""Small real files of every format that `resift index` reads, made by the formats' own libraries or by hand."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
import zlib
from collections.abc import Mapping
from email.message import EmailMessage
from io import BytesIO

import docx
import openpyxl
import pptx

CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    written = BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return written.getvalue()


def changed(data: bytes, part: str, content: str | bytes) -> bytes:
    """An archive with one part replaced, or added."""
    with zipfile.ZipFile(BytesIO(data)) as file:
        parts: dict[str, str | bytes] = {name: file.read(name) for name in file.namelist()}
    return archive(parts | {part: content})


def docx_file(text: str = "Money back within 30 days.") -> bytes:
    document = docx.Document()
    document.add_heading("Refund policy", 0)
    document.add_heading("When", 1)
    document.add_paragraph(text)
    document.add_paragraph("keep the receipt", style="List Bullet")
    document.add_heading("How much", 2)
    table = document.add_table(rows=2, cols=2)
    for place, words in enumerate(("Plan", "Share", "Pro", "all")):
        table.cell(place // 2, place % 2).text = words
    document.add_heading("Who", 1)
    document.add_paragraph("Ask Ann.")
    written = BytesIO()
    document.save(written)
    return written.getvalue()


def pptx_file(text: str = "Pandas eat bamboo.") -> bytes:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[0])
    slide.shapes.title.text = "All about pandas"
    slide.placeholders[1].text = "A talk"
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Food"
    slide.placeholders[1].text = text
    slide.notes_slide.notes_text_frame.text = "Say how much."
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 99, 99).text_frame.text = "in a group"
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    table = slide.shapes.add_table(2, 2, 0, 0, 99, 99).table
    for place, words in enumerate(("Animal", "Food", "Panda", "Bamboo")):
        table.cell(place // 2, place % 2).text = words
    deck.slides.add_slide(deck.slide_layouts[6])
    written = BytesIO()
    deck.save(written)
    return written.getvalue()


def xlsx_file(text: str = "Basic") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Prices"
    for row in (("Plan", "Price", "From"), (text, 9.5, dt.datetime(2024, 5, 1)), (None, None, None), ("Pro", 20, None)):
        sheet.append(row)
    book.create_sheet("Empty")
    book.create_sheet("Numbers").append((1, 2))
    written = BytesIO()
    book.save(written)
    return written.getvalue()


def epub_file(text: str = "It was a dark night.") -> bytes:
    pages = (("nav", "nav.xhtml", "nav"), ("two", "text/chapter%202.xhtml", ""), ("one", "one.xhtml", ""))
    items = "".join(
        f'<item id="{id}" href="{href}" media-type="application/xhtml+xml" properties="{extra}"/>'
        for id, href, extra in pages
    )
    order = "".join(f'<itemref idref="{id}"/>' for id in ("nav", "one", "two", "none"))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A short\n book</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{order}</spine></package>"
    )
    page = (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">'
        "<head><title>{}</title></head><body>{}</body></html>"
    )
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OEBPS/content.opf": package,
            "OEBPS/nav.xhtml": page.format("Contents", "<nav>Contents</nav>"),
            "OEBPS/one.xhtml": page.format("Beginning", f'<a id="x"/><p>{text}</p>'),
            "OEBPS/text/chapter 2.xhtml": page.format("", "<h1>The end</h1><p>All is well.&#160;</p>"),
        }
    )


def eml_file(text: str = "The parcel arrives on Monday.") -> bytes:
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Where is it?", "carl@example.org"
    inner.set_content("I wait for a parcel.\n")
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Your parcél", "Ann <ann@example.org>", "Bob <bob@example.org>"
    mail.set_content(text + "\n")
    mail.add_alternative(f"<p>{text} <b>In HTML.</b></p>", subtype="html")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="label.pdf")
    mail.add_attachment(inner)
    return mail.as_bytes()


def notebook_file(text: str = "We load the data.") -> bytes:
    cells = [
        {"cell_type": "markdown", "source": ["# Analysis\n", "\n", text]},
        {"cell_type": "code", "source": "x = 1\n\nprint('```')", "outputs": [{"text": ["not read"]}]},
        {"cell_type": "code", "source": [], "outputs": []},
        {"cell_type": "markdown", "source": "## Results\n\nIt works."},
    ]
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode()


def pdf_file(*pages: str, title: str = "") -> bytes:
    """One line of text per page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, page in enumerate(pages):
        lines = "".join(f"({line}) Tj T* " for line in page.split("\n"))
        stream = zlib.compress(f"BT /F1 12 Tf 14 TL 72 720 Td {lines}ET".encode())
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        head = f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode()
        objects.append(head + stream + b"\nendstream")
    objects.append(f"<< /Title ({title}) >>".encode())
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n"
    return (
        out + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}startxref\n{len(out)}\n%%EOF".encode()
    )
