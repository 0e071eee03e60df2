"""Each kind of file, read as a person would read it; and files that can't be read."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from document_files import pdf_file as pdf

from resift import InputError
from resift.documents import read
from resift.documents.content import SourceDocument
from resift.documents.files import find_files
from resift.documents.readers import READERS


def sections(document: SourceDocument) -> list[tuple[tuple[str, ...], str]]:
    return [(section.headings, section.text.strip()) for section in document.sections]


def parse(data: str | bytes, name: str) -> SourceDocument:
    (document,) = read(data.encode() if isinstance(data, str) else data, name)
    return document


def test_text() -> None:
    document = parse(b"\xef\xbb\xbfOne.\r\n\r\nTwo: \xc3\xa9.", "docs/house_rules-2024.txt")
    assert document.title == "house rules 2024"
    assert sections(document) == [((), "One.\n\nTwo: é.")]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(("name", "text"), [("a.txt", "é\r\nb"), ("a.md", "é\r\nb"), ("a.rst", "é\r\nb")])
def test_a_byte_order_mark_says_how_a_text_is_read(codec: str, name: str, text: str) -> None:
    assert sections(parse(("\ufeff" + text).encode(codec), name)) == [((), "é\nb")]
    record = '{"text": "é"}\n{"text": "b"}'
    texts = [document.sections[0].text for document in read(("\ufeff" + record).encode(codec), "a.jsonl")]
    assert texts == ["é", "b"]


def test_markdown() -> None:
    text = """---
title: "Ignored: no"
---
Before.

# The *guide*

Intro.

## Install [here](http://x) {#install}

```sh
# not a heading
pip install it
```

### On `Windows` ##

Windows text.

Setext
------

> quoted
---

#not-a-heading
"""
    document = parse(text, "guide.md")
    assert document.title == "Ignored: no"
    assert sections(document) == [
        ((), "Before."),
        (("The *guide*",), "Intro."),
        (("The *guide*", "Install here"), "```sh\n# not a heading\npip install it\n```"),
        (("The *guide*", "Install here", "On Windows"), "Windows text."),
        (("The *guide*", "Setext"), "> quoted\n---\n\n#not-a-heading"),
    ]
    for section in document.sections:
        assert section.start is not None
        assert text[section.start :].startswith(section.text)


@pytest.mark.parametrize(
    ("text", "title"),
    [("# Guide\n## A\n## B", "Guide"), ("# One\n# Two", "the file"), ("words", "the file"), ("## A\n# B", "the file")],
)
def test_the_title_is_that_of_the_only_top_heading(text: str, title: str) -> None:
    assert parse(text, "the_file.md").title == title


def test_rst() -> None:
    text = """=====
Guide
=====

Intro.

Install
-------

.. code:: sh

   pip install it

Windows
~~~~~~~

====  ====
A     B
====  ====
1     2
====  ====

Use
---
Text.
"""
    document = parse(text, "guide.rst")
    assert document.title == "Guide"
    assert [(headings, body[:19]) for headings, body in sections(document)] == [
        (("Guide",), "Intro."),
        (("Guide", "Install"), ".. code:: sh\n\n   pi"),
        (("Guide", "Install", "Windows"), "====  ====\nA     B\n"),
        (("Guide", "Use"), "Text."),
    ]


@pytest.mark.parametrize(
    "text",
    ["Some words\n--\nrest", "A paragraph\nof two lines\n------------\n", "  Indented\n----------\n", "====\n----\n"],
)
def test_lines_that_are_no_rst_headings(text: str) -> None:
    assert sections(parse(text, "a.rst")) == [((), text.strip())]


def test_html() -> None:
    text = """<!doctype html><html><head><title>Guide – Site</title><style>p {}</style></head><body>
<nav>Menu</nav><h1>The <em>guide</em></h1><p>Hello   <b>bold</b>
world.<br>Next line.</p><!-- no --><ul><li><p>one</p></li><li>two</li></ul>
<h2>Code</h2><pre><code>a = 1

  b = 2</code></pre><table><tr><th>k</th><th>v</th></tr><tr><td>1</td><td>2</td></tr></table>
<script>bad()</script><footer>Imprint</footer></body></html>"""
    document = parse(text, "a.html")
    assert document.title == "The guide"
    assert sections(document) == [
        (("The guide",), "Hello bold world.\nNext line.\n\n- one\n\n- two"),
        (("The guide", "Code"), "```\na = 1\n\n  b = 2\n```\n\nk | v\n1 | 2"),
    ]


def test_html_reads_the_main_part_the_declared_encoding_and_any_depth() -> None:
    assert sections(parse("<div>menu</div><main><p>text</p></main>", "a.htm")) == [((), "text")]
    declared = '<meta charset="iso-8859-1"><p>caf\xe9</p>'.encode("iso-8859-1")
    assert sections(parse(declared, "a.html")) == [((), "café")]
    assert sections(parse("<div>" * 5000 + "deep", "a.html")) == [((), "deep")]
    assert sections(parse('<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><p>x</p></html>', "a.html"))


def test_pdf() -> None:
    document = parse(
        pdf("The first page ends with a hyphen-\nated word.", "", "Third page.", title="A report"), "a.pdf"
    )
    assert document.title == "A report"
    assert sections(document) == [((), "The first page ends with a hyphenated word."), ((), "Third page.")]
    assert [section.page for section in document.sections] == [1, 3]


def test_jsonl() -> None:
    lines = [
        '{"_id": "d1", "title": "Bonds", "text": "Interest is taxed.", "year": 2024, "tags": ["a"], "open": true}',
        "",
        '{"id": 2, "content": "No title.", "long": 123456789012345678901234567890}',
        '{"body": "b"}',
        '{"contents": "\\u00e9", "title": 1984}',
    ]
    found = read("\n".join(lines).encode(), "a.jsonl")
    assert [(document.title, document.sections[0].text) for document in found] == [
        ("Bonds", "Interest is taxed."),
        ("", "No title."),
        ("", "b"),
        ("1984", "é"),
    ]
    assert found[0].metadata == {"id": "d1", "year": 2024, "open": True}
    assert found[1].metadata == {"id": 2, "long": "123456789012345678901234567890"}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"fine\n\xff\xfe", r"^a\.txt:2: not UTF-8 \(byte 0xff\)"),
        ("a.md", b"caf\xe9", r"^a\.md:1: not UTF-8"),
        ("a.txt", b"\xff\xfea\x00\x00\xd8", r"^a\.txt: not UTF-16-LE, which its byte order mark says"),
        ("a.txt", "words".encode("utf-16-le"), r"^a\.txt: not a text, or UTF-16 without a byte order mark"),
        ("a.html", b"\n\ncaf\xe9", r"^a\.html:3: not UTF-8"),
        ("a.html", b'<meta charset="klingon">\xe9', r"a\.html: declares the encoding 'klingon'"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"^a\.jsonl:2: not valid JSON"),
        ("a.jsonl", b'{"text": "x", "n": NaN}', r"^a\.jsonl:1: not valid JSON: NaN"),
        ("a.jsonl", b'["text"]', r"^a\.jsonl:1: a JSON object is needed, this is a list"),
        ("a.jsonl", b'\n{"txt": "x"}', r"^a\.jsonl:2: no text; .*text, content, body, contents"),
        ("a.jsonl", b'{"text": null}', r"^a\.jsonl:1: 'text' is null, not a text"),
        ("a.pdf", b"no pdf", r"^a\.pdf: not a readable PDF"),
        ("a.pdf", pdf("x")[:200], r"^a\.pdf: not a readable PDF"),
        ("a.exe", b"", r"^a\.exe: can't read \.exe; can read .*\.md"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(data, name)


def test_a_pdf_with_a_password_says_so() -> None:
    from io import BytesIO

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf("secret"))))
    writer.encrypt("key", algorithm="RC4-128")
    written = BytesIO()
    writer.write(written)
    with pytest.raises(InputError, match=r"^a\.pdf: needs a password"):
        read(written.getvalue(), "a.pdf")


def test_a_missing_library_names_its_extra() -> None:
    libraries = {
        ".html": "selectolax", ".pdf": "pypdf", ".docx": "mammoth", ".pptx": "pptx", ".xlsx": "openpyxl",
        ".epub": "defusedxml", ".eml": "webencodings",
    }  # fmt: skip
    check = f"""
import sys
libraries = {libraries!r}
sys.modules |= dict.fromkeys(libraries.values())
from resift import MissingExtraError
from resift.documents import read
for suffix in libraries:
    try:
        read(b"", "a" + suffix)
    except MissingExtraError as error:
        assert "pip install 'resift[documents]'" in str(error), error
    else:
        raise SystemExit(suffix + ": no error")
for suffix in (".csv", ".ipynb", ".md", ".py", ".jsonl", ".txt", ".rst"):
    read(b'{{"cells": []}}' if suffix == ".ipynb" else b"", "a" + suffix)
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_finding_files(tmp_path: Path) -> None:
    for name in ("b.md", "a.TXT", "sub/c.rst", ".hidden.md", ".git/d.md", "e.png", "Makefile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    outside = tmp_path.with_name("outside")
    outside.mkdir()
    (outside / "o.md").write_text("x")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "sub" / "out").symlink_to(outside)
    (tmp_path / "linked.md").symlink_to(tmp_path / "b.md")
    found = find_files([tmp_path, tmp_path / "sub", tmp_path / "b.md"])
    assert [file.name for file in found.files] == ["a.TXT", "b.md", "c.rst"]
    assert found.skipped == {".png": 1, "no suffix": 1}
    for name in (
        "node_modules/a/b.js",
        "env/pyvenv.cfg",
        "env/lib/c.py",
        "__pycache__/d.py",
        "web/e.min.js",
        "web/f.js",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x")
    found = find_files([tmp_path])
    assert [file.name for file in found.files] == ["a.TXT", "b.md", "c.rst", "f.js"]
    assert found.skipped == {".png": 1, "no suffix": 1, "node_modules/": 1, "env/": 1, "__pycache__/": 1, ".min.js": 1}
    assert [file.name for file in find_files([tmp_path / "node_modules"]).files] == ["b.js"], "named by itself"
    with pytest.raises(FileNotFoundError):
        find_files([tmp_path / "nothing"])
    with pytest.raises(InputError, match=r"e\.png: can't read \.png"):
        find_files([tmp_path / "e.png"])


def test_every_reader_exists() -> None:
    for suffix in READERS:
        with suppress(InputError):  # an empty file is no archive, PDF or notebook
            assert isinstance(read(b"", f"a{suffix}"), list)


def test_a_broken_pdf_is_told_once_and_by_name(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match=r"docs/broken\.pdf: not a readable PDF"):
        read(b"%PDF-1.4 rubbish", "docs/broken.pdf")
    assert not caplog.records
