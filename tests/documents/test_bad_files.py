"""One bad file never spoils a run: it is a line with its reason, all good files are stored, and the exit code is 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import pytest

from resift.chroma import StaticEmbedding
from resift.documents import IngestReport, ingest
from resift.documents import ingest as ingest_function
from resift.documents.failures import LIBRARIES

PAGE = b'<html><head><meta charset="%s"></head><body><p>Some \xe9 text</p></body></html>'
BAD: dict[bytes, tuple[bytes, str]] = {
    b"caf\xe9.md": (b"# Bad name\n\ntext", r"docs/caf\xe9.md: the file's name is not UTF-8; rename the file"),
    b"null.html": (PAGE % b"a\x00b", "docs/null.html: declares the encoding 'a\ufffdb', which browsers don't read"),
    b"undefined.html": (
        PAGE % b"undefined",
        "docs/undefined.html: declares the encoding 'undefined', which browsers don't read",
    ),
    b"base64.html": (PAGE % b"base64", "docs/base64.html: declares the encoding 'base64', which browsers don't read"),
    b"idna.html": (PAGE % b"idna", "docs/idna.html: declares the encoding 'idna', which browsers don't read"),
    b"deep.jsonl": (
        b'{"text": "x", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "docs/deep.jsonl:1: the JSON is nested too deeply to be read",
    ),
    b"digits.jsonl": (b'{"text": "x", "a": ' + b"9" * 5000 + b"}", "docs/digits.jsonl:1: not valid JSON"),
    b"broken.pdf": (b"%PDF-1.4 rubbish", "docs/broken.pdf: not a readable PDF"),
    b"empty.pdf": (b"", "docs/empty.pdf: not a readable PDF"),
}


@pytest.fixture
def collection(request: pytest.FixtureRequest) -> Any:
    client: Any = chromadb.EphemeralClient()
    return client.get_or_create_collection(
        f"bad-{abs(hash(request.node.nodeid))}", embedding_function=StaticEmbedding()
    )


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# First\n\ntext")
    (folder / "z.md").write_text("# Last\n\ntext")
    return folder


def paths(collection: Any) -> set[str]:
    return {metadata["path"] for metadata in collection.get(include=["metadatas"])["metadatas"]}


def index(folder: Path, *options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{before}\nimport sys; from resift.cli.app import main; main()"
    command = [sys.executable, "-c", code, "index", "docs", "--embedder", "static", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_a_line_and_the_rest_is_stored(collection: Any, docs: Path, name: bytes) -> None:
    data, line = BAD[name]
    (docs / os.fsdecode(name)).write_bytes(data)
    report = ingest(collection, [docs], base=docs.parent)
    assert report.new == 2
    assert paths(collection) == {"docs/a.md", "docs/z.md"}
    (failure,) = report.failures
    assert failure.startswith(line)
    failure.encode()


def test_all_of_them_in_one_run_of_the_command(docs: Path) -> None:
    for name, (data, _) in BAD.items():
        (docs / os.fsdecode(name)).write_bytes(data)
    for kind in ("2 new", "2 unchanged"):
        done = index(docs.parent)
        assert done.returncode == 1
        assert f"files: {kind}, {len(BAD)} failed" in done.stdout
        assert "Traceback" not in done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith("resift: docs/")]
        assert len(lines) == len(BAD)


@pytest.mark.parametrize("error", [RuntimeError("broken"), RecursionError(), MemoryError(), PermissionError(13, "no")])
def test_a_reader_that_fails_in_any_way(
    collection: Any, docs: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    module = sys.modules[ingest_function.__module__]
    read = module.read  # type: ignore[attr-defined]

    def fail(data: bytes, name: str) -> Any:
        if name.endswith("a.md"):
            raise error
        return read(data, name)

    monkeypatch.setattr(module, "read", fail)
    report = ingest(collection, [docs], base=docs.parent)
    assert [line.split(": ")[0] for line in report.failures] == ["docs/a.md"]
    assert paths(collection) == {"docs/z.md"}


def test_a_file_that_vanishes_during_the_run(collection: Any, docs: Path) -> None:
    def remove(done: int, *_: int) -> None:
        if done == 0:
            (docs / "z.md").unlink(missing_ok=True)

    report = ingest(collection, [docs], base=docs.parent, progress=remove)
    assert report.failures == ["docs/z.md: No such file or directory"]
    assert paths(collection) == {"docs/a.md"}


def test_a_folder_that_cannot_be_listed(collection: Any, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (docs / "sub").mkdir()
    (docs / "sub" / "b.md").write_text("text")
    ingest(collection, [docs], base=docs.parent)
    list_folder: Callable[[Path], Any] = Path.iterdir

    def iterdir(folder: Path) -> Any:
        if folder.name == "sub":
            raise PermissionError(13, "Permission denied", str(folder))
        return list_folder(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    report = ingest(collection, [docs], base=docs.parent, prune=True)
    assert report.failures == [f"{docs / 'sub'}: Permission denied"]
    assert "docs/sub/b.md" in paths(collection), "nobody knows whether it is gone"


@pytest.mark.parametrize(("library", "name"), [("selectolax", "page.html"), ("pypdf", "page.pdf")])
def test_a_missing_library_is_a_line_with_the_install_command_until_it_comes(
    docs: Path, library: str, name: str
) -> None:
    for copy in ("b-" + name, "c-" + name):
        (docs / copy).write_bytes(b"<p>Words.</p>")
    done = index(docs.parent, before=f"import sys; sys.modules[{library!r}] = None")
    assert done.returncode == 1
    assert "files: 2 new, 2 failed" in done.stdout
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["docs/b-" + name, "docs/c-" + name]
    assert all("pip install 'resift[documents]'" in line for line in lines)
    if library == "selectolax":
        assert "files: 2 new, 2 unchanged" in index(docs.parent).stdout


def test_a_file_that_chroma_refuses(collection: Any, docs: Path) -> None:
    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(collection, name)

        def upsert(self, **arguments: Any) -> None:
            if any("First" in text for text in arguments["documents"]):
                raise ValueError("this value is refused")
            collection.upsert(**arguments)

    report = ingest(Refusing(), [docs], base=docs.parent)  # type: ignore[arg-type]
    assert report.failures == ["docs/a.md: Chroma refuses its passages: this value is refused"]
    assert paths(collection) == {"docs/z.md"}


def test_what_waits_is_stored_when_a_run_is_aborted(collection: Any, docs: Path) -> None:
    calls = []

    def abort(*now: int) -> None:
        calls.append(now)
        if len(calls) == 2:
            raise RuntimeError("aborted")

    with pytest.raises(RuntimeError, match="aborted"):
        ingest(collection, [docs], base=docs.parent, progress=abort)
    assert paths(collection) == {"docs/a.md"}


def test_a_failed_file_is_tried_again_only_when_it_changes(
    collection: Any, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[ingest_function.__module__]
    read, tried = module.read, []  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "read", lambda data, name: (tried.append(name), read(data, name))[1])

    def run() -> IngestReport:
        tried.clear()
        return ingest(collection, [docs], base=docs.parent, failures_file=docs.parent / "failures.json")

    (docs / "bad.jsonl").write_text("{")
    first = run()
    assert "docs/bad.jsonl" in tried
    assert run().failures == first.failures
    assert tried == []
    (docs / "bad.jsonl").write_text("{{")
    run()
    assert tried == ["docs/bad.jsonl"]
    known = json.loads((docs.parent / "failures.json").read_text())
    assert set(known["libraries"]) == set(LIBRARIES)
    known["libraries"]["pypdf"] = "0"
    for damaged in (json.dumps(known), "[]", "{", '{"libraries": 1}'):
        (docs.parent / "failures.json").write_text(damaged)
        assert run().failures
        assert tried == ["docs/bad.jsonl"], "another version of a reader may read it"
    (docs / "bad.jsonl").write_text('{"text": "good"}')
    assert run().new == 1


def test_files_that_are_skipped_by_kind_are_no_failure(docs: Path) -> None:
    (docs / "a.zip").write_bytes(b"")
    assert index(docs.parent).returncode == 0


def test_a_link_out_of_the_folder_is_followed_only_when_asked(docs: Path) -> None:
    outside = docs.parent / "secret.md"
    outside.write_text("# Secret\n\ntext")
    (docs / "link.md").symlink_to(outside)
    (docs / "inner.md").symlink_to(docs / "a.md")
    (docs / "folder").symlink_to(docs.parent, target_is_directory=True)
    done = index(docs.parent)
    assert "files: 2 new, 1 skipped (1 link outside)" in done.stdout
    assert done.returncode == 0
    assert "files: 1 new, 2 unchanged\n" in index(docs.parent, "--follow-links").stdout
