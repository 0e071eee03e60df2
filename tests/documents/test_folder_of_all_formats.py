"""A folder as people have it: hundreds of files of all formats, some of them damaged. None is lost without a word."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import chromadb
import pytest
from document_files import (
    archive,
    docx_file,
    eml_file,
    epub_file,
    notebook_file,
    pdf_file,
    pptx_file,
    xlsx_file,
)

from resift.chroma import StaticEmbedding
from resift.documents import ingest

MARK = "Xylophone"
"""What each file's text takes the place of."""


def in_archive(data: bytes) -> Callable[[str], bytes]:
    """A function that makes the same archive with another text. The formats' libraries take long to make hundreds."""
    with zipfile.ZipFile(BytesIO(data)) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    return lambda text: archive({name: part.replace(MARK.encode(), text.encode()) for name, part in parts.items()})


FORMATS: dict[str, Callable[[str], bytes]] = {
    "csv": lambda text: f"name,says\nAnn,{text}\n".encode(),
    "docx": in_archive(docx_file(MARK)),
    "eml": lambda text: eml_file(text),
    "epub": in_archive(epub_file(MARK)),
    "html": lambda text: f"<!doctype html><nav>Home</nav><main><h1>A page</h1><p>{text}</main>".encode(),
    "ipynb": lambda text: notebook_file(text),
    "jsonl": lambda text: json.dumps({"id": 1, "text": text}).encode(),
    "md": lambda text: f"---\ntitle: 'A note: {text}'\n---\n# Head\n\n{text}\n".encode(),
    "pdf": lambda text: pdf_file(text),
    "pptx": in_archive(pptx_file(MARK)),
    "py": lambda text: f"def f():\n    return '{text}'\n".encode(),
    "rst": lambda text: f"Title\n=====\n\n{text}\n".encode(),
    "txt": lambda text: ("\ufeff" + text).encode("utf-16-le"),
    "xlsx": in_archive(xlsx_file(MARK)),
}
BAD: dict[str, tuple[bytes, str]] = {
    "bad.csv": (b'a,b\n"' + b"x" * 200_000, "not readable as CSV"),
    "bad.docx": (docx_file()[:2000], "not a readable Word document"),
    "bad.eml": (b"Content-Type: text/plain; charset=klingon\n\n\xe9", "declares the encoding 'klingon'"),
    "bad.epub": (archive({"a": b""}), "not a readable EPUB"),
    "bad.html": (b"<p>caf\xe9", "not UTF-8"),
    "bad.ipynb": (b"{", "not valid JSON"),
    "bad.jsonl": (b"{", "not valid JSON"),
    "bad.md": (b"caf\xe9", "not UTF-8"),
    "bad.pdf": (pdf_file("x")[:200], "not a readable PDF"),
    "bad.pptx": (xlsx_file(), "not a readable PowerPoint presentation"),
    "bad.py": (b"\xff", "not UTF-8"),
    "bad.rst": (b"\xff", "not UTF-8"),
    "bad.txt": (bytes(90), "not a text"),
    "bad.xlsx": (b"", "not a readable Excel workbook"),
}
OTHER = ("photo.png", "film.mp4", "old.doc", "Makefile")


@pytest.mark.parametrize("count", [3, pytest.param(22, marks=pytest.mark.slow)])
def test_no_file_is_lost_and_each_that_cannot_be_read_is_named(tmp_path: Path, count: int) -> None:
    texts: dict[str, str] = {}
    for kind, make in FORMATS.items():
        folder = tmp_path / "docs" / kind
        folder.mkdir(parents=True)
        for number in range(count):
            texts[f"docs/{kind}/{number}.{kind}"] = text = f"The {kind} number {number} speaks of {kind}{number}."
            (folder / f"{number}.{kind}").write_bytes(make(text))
    for name, (data, _) in BAD.items():
        (tmp_path / "docs" / name).write_bytes(data)
    for name in OTHER:
        (tmp_path / "docs" / name).write_bytes(b"x")
    assert len(texts) == count * len(FORMATS)

    client: Any = chromadb.EphemeralClient()
    collection = client.create_collection(f"formats-{count}", embedding_function=StaticEmbedding())
    report = ingest(collection, [tmp_path / "docs"], base=tmp_path)

    assert (report.new, report.empty) == (len(texts), 0)
    assert report.skipped == {".png": 1, ".mp4": 1, ".doc": 1, "no suffix": 1}
    assert Counter(line.split(":")[0] for line in report.failures) == Counter(f"docs/{name}" for name in BAD)
    for line in report.failures:
        name = line.split(":")[0].removeprefix("docs/")
        assert BAD[name][1] in line
        assert "\n" not in line
    stored = collection.get(include=["documents", "metadatas"])
    found: dict[str, str] = {}
    for passage, metadata in zip(stored["documents"], stored["metadatas"], strict=True):
        found[metadata["path"]] = found.get(metadata["path"], "") + passage
    assert found.keys() == texts.keys()
    for path, text in texts.items():
        assert text in found[path], path
