"""Office files, tables, notebooks, e-books, mails and source code: real small files, and ones made to do harm."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from io import BytesIO

import pytest
from document_files import (
    CONTAINER,
    archive,
    changed,
    docx_file,
    eml_file,
    epub_file,
    notebook_file,
    pptx_file,
    xlsx_file,
)

from resift import InputError
from resift.documents import archive as archive_limits
from resift.documents import read, tables
from resift.documents.content import SourceDocument
from resift.documents.passages import Chunks, passages

Sections = list[tuple[tuple[str, ...], str]]


def document(data: str | bytes, name: str) -> SourceDocument:
    (one,) = read(data.encode() if isinstance(data, str) else data, name)
    return one


def sections(data: str | bytes, name: str) -> Sections:
    return [(section.headings, section.text.strip()) for section in document(data, name).sections]


def test_word() -> None:
    assert document(docx_file(), "a.docx").title == "Refund policy"
    assert sections(docx_file(), "a.docx") == [
        (("When",), "Money back within 30 days.\n\n- keep the receipt"),
        (("When", "How much"), "Plan | Share\nPro | all"),
        (("Who",), "Ask Ann."),
    ]


def test_what_was_changed_and_framed_in_word_is_read_as_it_is_now() -> None:
    with zipfile.ZipFile(BytesIO(docx_file())) as file:
        xml = file.read("word/document.xml").decode()
    body = (
        '<w:p><w:ins w:id="1" w:author="a"><w:r><w:t>Inserted </w:t></w:r></w:ins>'
        '<w:del w:id="2" w:author="a"><w:r><w:delText>deleted </w:delText></w:r></w:del>'
        "<w:r><w:t>kept</w:t></w:r></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    data = changed(docx_file(), "word/document.xml", xml.replace("<w:body>", "<w:body>" + body))
    assert sections(data, "a.docx")[0] == ((), "Inserted kept\n\nIn a control.")


def test_slides() -> None:
    found = document(pptx_file(), "a.pptx")
    assert found.title == "All about pandas"
    assert [(section.headings, section.page, section.text) for section in found.sections] == [
        (("All about pandas",), 1, "A talk"),
        (("Food",), 2, "Pandas eat bamboo.\n\nin a group\n\nSay how much."),
        ((), 3, "Animal | Food\nPanda | Bamboo"),
    ]


def test_sheets() -> None:
    assert document(xlsx_file(), "price_list.xlsx").title == "price list"
    assert sections(xlsx_file(), "a.xlsx") == [
        (("Prices",), "Plan: Basic\nPrice: 9.5\nFrom: 2024-05-01\n\nPlan: Pro\nPrice: 20"),
        (("Numbers",), "1 | 2"),
    ]


def test_an_ebook() -> None:
    assert document(epub_file(), "a.epub").title == "A short book"
    assert sections(epub_file(), "a.epub") == [
        (("Beginning",), "It was a dark night."),
        (("The end",), "All is well."),
    ]


def test_a_mail() -> None:
    assert document(eml_file(), "a.eml").title == "Your parcél"
    assert sections(eml_file(), "a.eml") == [
        (
            (),
            "From: Ann <ann@example.org>\nTo: Bob <bob@example.org>\n\nThe parcel arrives on Monday.\n\n"
            "Attached: label.pdf",
        ),
        (("Where is it?",), "From: carl@example.org\n\nI wait for a parcel."),
    ]


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        (b"Content-Type: text/html; charset=gb2312", "<h1>镕</h1><p>a".encode("gb18030"), "镕\n\na"),
        (b"Content-Type: text/plain; charset=iso-8859-1", "5 €".encode("cp1252"), "5 €"),
        (b"X: no charset", "é".encode(), "é"),
        (b"X: no charset", "é".encode("cp1252"), "é"),
        (b"Content-Type: text/plain\nContent-Transfer-Encoding: base64", b"aGVsbG8=", "hello"),
        (b"Content-Type: multipart/mixed", b"no boundary", "no boundary"),
        (b"Content-Type: text/markdown", b"# a", "# a"),
        (b"Content-Type: multipart/alternative; boundary=x", b"--x\nContent-Type: text/html\n\n<p>a\n--x--", "a"),
        (
            b"Content-Type: multipart/alternative; boundary=x",
            b"--x\nContent-Type: text/plain\n\n \n--x\nContent-Type: text/html\n\n<p>not empty\n--x--",
            "not empty",
        ),
    ],
)
def test_the_text_of_a_mail(head: bytes, body: bytes, text: str) -> None:
    assert sections(head + b"\n\n" + body, "a_mail.eml") == [((), text)]
    assert document(head + b"\n\n" + body, "a_mail.eml").title == "a mail"


def test_headers_of_a_mail() -> None:
    head = b"Subject: =?utf-8?q?caf=C3=A9?= and\n =?iso-8859-1?q?th=E9?=\nFrom: =?klingon?q?a?=\nTo: caf\xc3\xa9"
    mail = document(head + b"\n\nx", "a.eml")
    assert mail.title == "café and thé"
    assert mail.sections[0].text.startswith("From: =?klingon?q?a?=\nTo: ")


@pytest.mark.parametrize("mark", ["(", "<", "=?", '"', ";", "\\"])
def test_a_long_header_takes_no_long_time(mark: str) -> None:
    """64,000 brackets took Python's newer header parser 100 s."""
    header = mark * 60_000
    started = time.process_time()
    assert read(f"To: {header}\nSubject: {header}\n\nx".encode(), "a.eml")
    with pytest.raises(InputError, match=r"^a\.eml: a header of more than 20,000 characters"):
        read(f"Content-Type: text/plain; {header}\n\nx".encode(), "a.eml")
    assert time.process_time() - started < 10


def test_a_notebook() -> None:
    assert sections(notebook_file(), "a.ipynb") == [
        (("Analysis",), "We load the data.\n\n```\nx = 1\n\nprint('```')\n```"),
        (("Analysis", "Results"), "It works."),
    ]
    third = {
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "heading", "level": 2, "source": "Old"},
                    {"cell_type": "code", "input": ["```\n", "a"]},
                ]
            }
        ]
    }
    assert sections(json.dumps(third), "a.ipynb") == [(("Old",), "````\n```\na\n````")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,role\nAda,engineer\nBob,\n", "name: Ada\nrole: engineer\n\nname: Bob"),
        ("name;price\nBasic;9,5\nPro;20,0\n", "name: Basic\nprice: 9,5\n\nname: Pro\nprice: 20,0"),
        ("sep=|\na|b\n1|2\n", "a: 1\nb: 2"),
        ('q,a\n"Is it, ""really""?","Yes.\n\nIt is."\n', 'q: Is it, "really"?\na: Yes.\nIt is.'),
        ("1,2\n3,4\n", "1 | 2\n\n3 | 4"),
        ("a,a\nb,c\n", "a | a\n\nb | c"),
        ("only\none\ncolumn\n", "only: one\n\nonly: column"),
        ("a,b\n1,2,3\n", "a: 1\nb: 2\n3"),
        ("a,b\n", "a | b"),
        ("\n\n", ""),
        ("", ""),
        ("Report,,\n2024,,\n,,\nname,role,x\nAda,engineer,1\n", "Report\n\n2024\n\nname: Ada\nrole: engineer\nx: 1"),
        ("2023,2024\n1,2\n", "2023 | 2024\n\n1 | 2"),
    ],
)
def test_csv(text: str, expected: str) -> None:
    for data in (text.encode(), ("\ufeff" + text).encode("utf-16-le"), text.replace("\n", "\r\n").encode()):
        assert document(data, "a.csv").sections[0].text == expected
    if "," in text and not {'"', ";"} & set(text):
        assert document(text.replace(",", "\t"), "a.tsv").sections[0].text == expected


def test_source_code_is_cut_between_lines() -> None:
    function = "def f{0}(a):\n    '''Does a thing. And another thing e.g. that.'''\n    if a:\n\n        return {0}\n\n"
    text = "import os\n\n\n" + "\n".join(function.format(number) for number in range(40))
    for name in ("src/app.py", "Main.java", "q.sql", "conf.YAML"):
        found = document(text, name)
        assert found.title == name.rpartition("/")[2]
        parts = passages([found], name, "hash", Chunks(64))
        assert len(parts) > 10
        for part in parts:
            start, end = part.metadata["start"], part.metadata["end"]
            assert part.text.endswith(text[start:end])
            assert text[end : end + 1] == "\n"
            assert start == 0 or text[start - 1] == "\n"
            assert not text[start:end].startswith("        return"), "cut at the empty lines between functions"


OFFICE: dict[str, Callable[[], bytes]] = {"a.docx": docx_file, "a.pptx": pptx_file, "a.xlsx": xlsx_file}
MAIN_PARTS = {"a.docx": "word/document.xml", "a.pptx": "ppt/presentation.xml", "a.xlsx": "xl/workbook.xml"}
LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("name", OFFICE)
@pytest.mark.parametrize("doctype", [LAUGHS, OUTSIDE])
def test_entities_are_refused(name: str, doctype: str) -> None:
    good = OFFICE[name]()
    for codec in ("utf-8", "utf-16-le"):
        bad = changed(good, MAIN_PARTS[name], f'<?xml version="1.0"?>{doctype}<x>&a;</x>'.encode(codec))
        with pytest.raises(InputError, match=rf"^{name}: {MAIN_PARTS[name]} declares entities"):
            read(bad, name)


@pytest.mark.parametrize("doctype", [LAUGHS, OUTSIDE])
def test_entities_of_an_ebook_are_refused(doctype: str) -> None:
    bad = changed(epub_file(), "OEBPS/content.opf", f"{doctype}<package>&a;</package>")
    with pytest.raises(InputError, match=r"^a\.epub: not a readable EPUB: OEBPS/content\.opf: EntitiesForbidden"):
        read(bad, "a.epub")
    page = f"{doctype}<html xmlns='http://www.w3.org/1999/xhtml'><p>&a;&b;</p></html>"
    assert sections(changed(epub_file(), "OEBPS/one.xhtml", page), "a.epub")[0][1].count("ha") == 0


@pytest.mark.parametrize("name", [*OFFICE, "a.epub"])
def test_an_archive_that_unpacks_to_too_much_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {**OFFICE, "a.epub": epub_file}[name]()
    with monkeypatch.context() as patched:
        patched.setattr(archive_limits, "MOST_TEXT_BYTES", 1000)
        with pytest.raises(InputError, match=rf"^{name}: .* has .* bytes, unpacked; at most 1,000 are read"):
            read(changed(good, "extra/a.xml", b" " * 2000), name)
    with monkeypatch.context() as patched:
        patched.setattr(archive_limits, "MOST_BYTES", 100_000)
        with pytest.raises(InputError, match=rf"^{name}: .* parts of .* bytes, unpacked; at most"):
            read(changed(good, "media/a.bin", bytes(200_000)), name)
    monkeypatch.setattr(archive_limits, "MOST_PARTS", 4)
    with pytest.raises(InputError, match=rf"^{name}: .* parts of"):
        read(changed(good, "extra/a.bin", b""), name)


@pytest.mark.parametrize("name", [*OFFICE, "a.epub"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"no archive", "not a readable"),
        (lambda data: b"", "not a readable"),
        (lambda data: data[: len(data) // 2], "not a readable"),
        (lambda data: bytes.fromhex("d0cf11e0a1b11ae1") + data, "has a password, or is of Office before 2007"),
        (lambda data: archive({"a.txt": "x"}), "not a readable"),
        (lambda data: docx_file() if b"word/" not in data else xlsx_file(), "not a readable"),
        (lambda data: data[:60] + bytes(200) + data[260:], "not a readable|needs a password"),
    ],
)
def test_damaged_files_are_named(name: str, damage: Callable[[bytes], bytes], message: str) -> None:
    with pytest.raises(InputError, match=rf"^{name}: ({message})"):
        read(damage({**OFFICE, "a.epub": epub_file}[name]()), name)


def test_other_files_that_cannot_be_read_are_named() -> None:
    deep = EmailMessage()
    deep.set_content("x")
    for _ in range(30):
        outer = EmailMessage()
        outer.add_attachment(deep)
        deep = outer
    nested = "[" * 200_000
    protected = (
        '<encryption><a:EncryptedData xmlns:a="http://www.w3.org/2001/04/xmlenc#"><a:CipherData>'
        '<a:CipherReference URI="OEBPS/one.xhtml"/></a:CipherData></a:EncryptedData></encryption>'
    )
    bad = {
        "a.ipynb": [
            (b"{", "not valid JSON"),
            (b"[]", "a JSON object is needed"),
            (b"{}", "not a notebook: it has no cells"),
            (b'{"cells": [1]}', "not a notebook: its cells are not objects"),
            (b'{"cells": null}', "not a notebook: it has no cells"),
            (b'{"worksheets": 5}', "not a notebook: it has no cells"),
            (nested.encode(), "the JSON is nested too deeply|not valid JSON"),
        ],
        "a.csv": [(b'a,b\n"' + b"x" * 200_000, "not readable as CSV: field larger than"), (b"\xff", "not UTF-8")],
        "a.eml": [
            (deep.as_bytes(), "nested too deeply|not a readable mail"),
            (b"Content-Type: text/plain; charset=klingon\n\n\xe9", "declares the encoding 'klingon'"),
        ],
        "a.epub": [
            (changed(epub_file(), "META-INF/encryption.xml", protected), "OEBPS/one.xhtml is encrypted"),
            (archive({"META-INF/container.xml": CONTAINER}), "not a readable EPUB: OEBPS/content.opf"),
        ],
        "a.py": [(b"a = '\xe9'", "not UTF-8"), (bytes(100), "not a text")],
        "a.doc": [(b"", r"can't read \.doc; can read .*\.docx.*, and source code")],
    }
    for name, cases in bad.items():
        for data, message in cases:
            with pytest.raises(InputError, match=rf"^{name}(:\d+)?: .*({message})"):
                read(data, name)


def test_a_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_CHARACTERS", 1000)
    with pytest.raises(InputError, match=r"^a\.csv: a table of more than 1,000 characters"):
        read(b"a,b\n" + b"x,y\n" * 1000, "a.csv")
    monkeypatch.setattr("resift.documents.sheets.MOST_CELLS", 5)
    with pytest.raises(InputError, match=r"^a\.xlsx: sheet 'Prices' has more than 5 cells"):
        read(xlsx_file(), "a.xlsx")


def test_a_sheet_that_says_it_is_huge_is_read_at_once() -> None:
    with zipfile.ZipFile(BytesIO(xlsx_file())) as file:
        xml = file.read("xl/worksheets/sheet1.xml").decode()
    assert 'ref="A1:C4"' in xml
    huge = changed(xlsx_file(), "xl/worksheets/sheet1.xml", xml.replace('ref="A1:C4"', 'ref="A1:XFD1048576"'))
    assert sections(huge, "a.xlsx") == sections(xlsx_file(), "a.xlsx")


def test_a_file_that_is_too_large_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resift.documents.readers.MOST_BYTES", 10)
    monkeypatch.setattr("resift.documents.readers.MOST_PARSED_BYTES", 5)
    read(b"1234567890", "a.txt")
    for name, most in (("a.txt", 10), ("a.html", 5)):
        with pytest.raises(InputError, match=rf"^{name}: 11 bytes; at most {most} of such a file are read: divide it"):
            read(b"12345678901", name)
