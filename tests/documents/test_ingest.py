"""Running it again adds nothing, an edit replaces, a killed run is completed: over real Chroma."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import pytest
from typer.testing import CliRunner

from resift import InputError
from resift.chroma import ChromaFirstStage, StaticEmbedding
from resift.cli.app import app
from resift.documents import IngestReport, ingest
from resift.search.collections import open_collection

Index = Callable[..., IngestReport]


def files(folder: Path, count: int = 6) -> Path:
    for number in range(count):
        text = f"# Page {number}\n\n" + "\n\n".join(
            f"Part {part} of page {number}. " + "It says the same as ever. " * 25 for part in range(5)
        )
        (folder / f"page{number}.md").write_text(text)
    return folder


def stored(collection: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    got = collection.get(include=["documents", "metadatas"])
    return {id: (text, meta) for id, text, meta in zip(got["ids"], got["documents"], got["metadatas"], strict=True)}


def create(name: str) -> Any:
    client: Any = chromadb.EphemeralClient()  # untyped: chromadb's own embedding functions fail its annotation too
    return client.get_or_create_collection(name, embedding_function=StaticEmbedding())


@pytest.fixture
def collection(request: pytest.FixtureRequest) -> Any:
    name = f"t-{abs(hash(request.node.nodeid))}"
    return create(name)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return files(folder)


class Failing:
    """A collection whose n-th write fails, as a full disk would."""

    def __init__(self, collection: Any, at: int) -> None:
        self.collection = collection
        self.left = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collection, name)

    def upsert(self, **arguments: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError("disk full")
        self.collection.upsert(**arguments)


def test_a_second_run_adds_nothing(collection: Any, docs: Path) -> None:
    first = ingest(collection, [docs], base=docs.parent)
    before = stored(collection)
    assert (first.new, first.added) == (6, len(before))
    second = ingest(collection, [docs], base=docs.parent)
    assert (second.new, second.unchanged, second.added, second.removed) == (0, 6, 0, 0)
    assert stored(collection) == before


def test_what_is_stored(collection: Any, docs: Path) -> None:
    ingest(collection, [docs], base=docs.parent)
    text = (docs / "page3.md").read_text()
    mine = [(body, meta) for body, meta in stored(collection).values() if meta["path"] == "docs/page3.md"]
    assert sorted(meta["position"] for _, meta in mine) == list(range(len(mine)))
    for body, meta in mine:
        assert meta["title"] == "Page 3"
        assert meta["passages"] == len(mine)
        assert body == "Page 3\n\n" + text[meta["start"] : meta["end"]]
    assert ChromaFirstStage(collection).retrieve("part 4 of page 3", 1)[0].metadata["path"].startswith("docs/page")


def test_an_edited_file_is_replaced(collection: Any, docs: Path) -> None:
    ingest(collection, [docs], base=docs.parent)
    others = {id: record for id, record in stored(collection).items() if record[1]["path"] != "docs/page2.md"}
    (docs / "page2.md").write_text("# Page 2\n\nQuite another text.")
    report = ingest(collection, [docs], base=docs.parent)
    assert (report.changed, report.unchanged, report.added) == (1, 5, 1)
    assert report.removed > 1
    after = stored(collection)
    mine = [record for record in after.values() if record[1]["path"] == "docs/page2.md"]
    assert [text for text, _ in mine] == ["Page 2\n\nQuite another text."]
    assert {id: record for id, record in after.items() if record[1]["path"] != "docs/page2.md"} == others


def test_another_size_cuts_the_files_anew_and_the_collection_remembers_it(collection: Any, docs: Path) -> None:
    usual = ingest(collection, [docs], base=docs.parent)
    assert not collection.metadata
    small = ingest(collection, [docs], base=docs.parent, chunk_tokens=40, chunk_overlap=5)
    assert (small.changed, small.removed, small.unchanged) == (6, usual.added, 0)
    assert small.added > 2 * usual.added
    assert ingest(collection, [docs], base=docs.parent).unchanged == 6
    assert ingest(collection, [docs], base=docs.parent, chunk_overlap=4).changed == 6
    assert ingest(collection, [docs], base=docs.parent, chunk_tokens=40, chunk_overlap=4).unchanged == 6
    assert ingest(collection, [docs], base=docs.parent, chunk_tokens=240).added == usual.added
    assert ingest(collection, [docs], base=docs.parent).unchanged == 6


def test_an_impossible_size_changes_nothing(collection: Any, docs: Path) -> None:
    ingest(collection, [docs], base=docs.parent)
    before = stored(collection)
    with pytest.raises(InputError, match="chunk_overlap=90 is more than a third of chunk_tokens=240: give 80 at most"):
        ingest(collection, [docs], base=docs.parent, chunk_overlap=90)
    with pytest.raises(InputError, match="chunk_tokens must be at least 32, got 8"):
        ingest(collection, [docs], base=docs.parent, chunk_tokens=8)
    assert stored(collection) == before
    assert ingest(collection, [docs], base=docs.parent).unchanged == 6


def test_a_file_that_became_empty_is_removed(collection: Any, docs: Path) -> None:
    ingest(collection, [docs], base=docs.parent)
    (docs / "page0.md").write_text(" \n")
    assert ingest(collection, [docs], base=docs.parent).changed == 1
    assert "docs/page0.md" not in {meta["path"] for _, meta in stored(collection).values()}
    assert ingest(collection, [docs], base=docs.parent).empty == 1


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_run_that_fails_is_completed_by_the_next(collection: Any, docs: Path, at: int) -> None:
    with pytest.raises(OSError, match="disk full"):
        ingest(Failing(collection, at), [docs], base=docs.parent, batch=4)  # type: ignore[arg-type]
    kept = stored(collection)
    assert len(kept) == 4 * (at - 1)
    report = ingest(collection, [docs], base=docs.parent, batch=4)
    after = stored(collection)
    assert report.added == len(after) - len(kept)
    assert report.removed == 0
    assert len({(meta["path"], meta["position"]) for _, meta in after.values()}) == len(after)
    whole = create(f"whole-{at}")
    ingest(whole, [docs], base=docs.parent)
    assert after == stored(whole)


def test_a_run_that_fails_while_replacing_is_completed_by_the_next(collection: Any, docs: Path) -> None:
    ingest(collection, [docs], base=docs.parent)
    for file in docs.iterdir():
        file.write_text(file.read_text().replace("the same", "something else"))
    with pytest.raises(OSError, match="disk full"):
        ingest(Failing(collection, 3), [docs], base=docs.parent, batch=4)  # type: ignore[arg-type]
    report = ingest(collection, [docs], base=docs.parent)
    assert report.resumed == 1
    after = stored(collection)
    assert all("the same" not in text for text, _ in after.values())
    assert len({(meta["path"], meta["position"]) for _, meta in after.values()}) == len(after)
    assert all(
        meta["passages"] == sum(other["path"] == meta["path"] for _, other in after.values())
        for _, meta in after.values()
    )


def test_a_killed_process_is_completed_by_the_next(tmp_path: Path, docs: Path) -> None:
    killed = f"""
import os, signal, sys
import chromadb
from chromadb import Collection
write, left = Collection.upsert, [3]
def upsert(self, *args, **kwargs):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, *args, **kwargs)
Collection.upsert = upsert
from resift.documents import ingest as module
from resift.search.collections import create_collection
from pathlib import Path
collection = create_collection(Path({str(tmp_path / "db")!r}), "documents", "static")
module(collection, [{str(docs)!r}], base={str(tmp_path)!r}, batch=4)
"""
    died = subprocess.run([sys.executable, "-c", killed], timeout=120)
    assert died.returncode == -signal.SIGKILL
    command = ["index", str(docs), "--db", str(tmp_path / "db")]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    got = [meta for _, meta in stored(open_collection(tmp_path / "db", "documents")).values()]
    positions = {(passage["path"], passage["position"]) for passage in got}
    assert len(positions) == len(got), "duplicates"
    assert all(passage["passages"] == sum(other["path"] == passage["path"] for other in got) for passage in got)
    assert len({path for path, _ in positions}) == 6


def test_prune_removes_what_is_gone_from_the_given_folders_only(collection: Any, docs: Path) -> None:
    other = docs.parent / "other"
    other.mkdir()
    files(other, 2)
    ingest(collection, [docs, other], base=docs.parent)
    collection.add(ids=["foreign"], documents=["not ours"], metadatas=[{"path": "docs/page1.md"}])
    (docs / "page1.md").unlink()
    (other / "page1.md").unlink()
    assert ingest(collection, [docs], base=docs.parent).pruned == 0
    report = ingest(collection, [docs], base=docs.parent, prune=True)
    assert report.pruned == 1
    assert report.removed > 1
    paths = {meta["path"] for _, meta in stored(collection).values()}
    assert "other/page1.md" in paths
    assert "docs/page1.md" not in {meta["path"] for _, meta in stored(collection).values() if "position" in meta}


def test_folders_may_overlap_and_share_names(collection: Any, docs: Path) -> None:
    (docs / "sub").mkdir()
    files(docs / "sub", 2)
    ingest(collection, [docs / "sub"], base=docs.parent)
    ingest(collection, [docs], base=docs.parent)
    report = ingest(collection, [docs / "sub", docs, docs / "page1.md"], base=docs.parent)
    assert (report.unchanged, report.added) == (8, 0)
    paths = {meta["path"] for _, meta in stored(collection).values()}
    assert {"docs/page1.md", "docs/sub/page1.md"} < paths
    assert len(paths) == 8


def test_a_file_outside_the_base_has_its_whole_path(collection: Any, docs: Path, tmp_path: Path) -> None:
    base = tmp_path / "elsewhere"
    base.mkdir()
    ingest(collection, [docs], base=base)
    assert (docs / "page1.md").resolve().as_posix() in {meta["path"] for _, meta in stored(collection).values()}


def test_an_unreadable_file_is_reported_and_the_rest_is_indexed(collection: Any, docs: Path) -> None:
    ingest(collection, [docs], base=docs.parent)
    (docs / "page0.md").write_bytes(b"ok\n\xff")
    (docs / "bad.jsonl").write_text("{")
    (docs / "new.txt").write_text("new")
    report = ingest(collection, [docs], base=docs.parent, prune=True)
    assert report.new == 1
    assert [line.split(": ")[0] for line in report.failures] == ["docs/bad.jsonl:1", "docs/page0.md:2"]
    assert "docs/page0.md" in {meta["path"] for _, meta in stored(collection).values()}, "what was stored of it stays"


def test_files_without_text_are_named_unless_they_are_blank(collection: Any, tmp_path: Path) -> None:
    for name, text in (
        ("script.html", "<script>a()</script>"),
        ("__init__.py", ""),
        ("blank.md", " \n"),
        ("no_room.html", "<h1>&#8203;</h1><p>&#8203; &shy;</p>"),
        ("a.md", "# A\n\na\n\n## \u200b\n\n\u200b\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    for _ in range(2):
        report = ingest(collection, [tmp_path], base=tmp_path)
        assert (report.empty, report.without_text) == (4, ["no_room.html", "script.html"])
    assert collection.get()["documents"] == ["A\n\na"]


def test_progress_and_batches(collection: Any, docs: Path) -> None:
    calls: list[tuple[int, int, int]] = []

    def check(done: int, total: int, added: int) -> None:
        """What is said to be done is stored."""
        calls.append((done, total, added))
        kept = [meta for _, meta in stored(collection).values()]
        assert len(kept) == added
        paths = Counter(meta["path"] for meta in kept)
        assert done == sum(paths[meta["path"]] == meta["passages"] for meta in kept if meta["position"] == 0)

    report = ingest(collection, [docs], base=docs.parent, batch=3, progress=check)
    assert calls[0] == (0, 6, 0)
    assert calls[-1] == (6, 6, report.added)
    assert calls == sorted(calls)
    assert len({added for _, _, added in calls}) > report.added // 3
    assert report.passages_per_second > 0


def test_records_of_a_jsonl_file_are_one_file(collection: Any, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(f'{{"id": {number}, "text": "Record {number}.", "even": true}}' for number in range(5)))
    assert ingest(collection, [file], base=tmp_path).added == 5
    assert {meta["id"] for _, meta in stored(collection).values()} == set(range(5))
    file.write_text(file.read_text() + '\n{"id": 5, "text": "One more."}')
    report = ingest(collection, [file], base=tmp_path)
    assert (report.changed, report.added, report.removed) == (1, 6, 5)


def test_refusals(collection: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ingest(collection, [tmp_path / "nothing"])
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(InputError, match=r"can't read \.zip"):
        ingest(collection, [tmp_path / "a.zip"])
