"""Two processes that index into one database, and the collections that they damaged before there was a lock."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import chromadb
import pytest
from typer.testing import CliRunner

from resift import InputError
from resift.cli.app import app
from resift.search.collections import REBUILT, create_collection, lock_database, open_collection, rebuild_collection
from resift.search.damage import find_damage, read_records

# Two processes that write at the same time, as `resift index` did without its lock.
WRITER = """
import sys, time
from pathlib import Path
from resift.documents import ingest
from resift.search.collections import create_collection
db, docs, start = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
from resift.embedders.static import StaticEmbedder
Path(sys.argv[4]).touch()
while not start.exists():
    time.sleep(.005)
ingest(create_collection(db, "documents", "static"), [docs], base=db.parent)
"""
INDEX = [sys.executable, "-m", "resift", "index", "docs", "--embedder", "static", "--db", "db"]


def write_files(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        parts = (f"Part {part} of page {number}. " + "It says the same as ever. " * 25 for part in range(5))
        (folder / f"p{number}.md").write_text(f"# Page {number}\n\n" + "\n\n".join(parts))


def damage(folder: Path) -> None:
    """Let two processes index 1,500 passages at the same time, until they get in each other's way."""
    for _ in range(4):
        shutil.rmtree(folder / "db", ignore_errors=True)
        (folder / "start").unlink(missing_ok=True)
        create_collection(folder / "db", "documents", "static")
        chromadb.api.client.SharedSystemClient.clear_system_cache()
        ready = [folder / "ready1", folder / "ready2"]
        arguments = [sys.executable, "-c", WRITER, folder / "db", folder / "docs", folder / "start"]
        writers = [subprocess.Popen([*arguments, file], stderr=subprocess.DEVNULL) for file in ready]
        while not all(file.exists() for file in ready):
            time.sleep(0.01)
        (folder / "start").touch()
        for writer in writers:
            writer.wait(120)
        if find_damage(open_collection(folder / "db", "documents")):
            return
    pytest.fail("two writing processes damaged nothing: is the repair still needed?")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    write_files(folder / "docs", 300)
    damage(folder)
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    return folder


def check_whole(folder: Path, count: int) -> None:
    """All passages have a vector, and a search finds each of them once."""
    collection = open_collection(folder / "db", "documents")
    got = collection.get(include=["embeddings", "documents"])
    assert len(got["ids"]) == count
    assert got["embeddings"] is not None
    assert len(got["embeddings"]) == count
    found = collection.query(query_texts=["page"], n_results=count, include=[])["ids"][0]
    assert sorted(found) == sorted(got["ids"])
    assert not find_damage(collection)


def test_a_second_run_says_who_writes_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "docs", 12)
    code = f"""
import sys, time
from pathlib import Path
from chromadb import Collection
from resift.cli.app import main
write = Collection.upsert
def upsert(self, *args, **kwargs):
    Path("writing").touch()
    while not Path("go-on").exists():
        time.sleep(.01)
    write(self, *args, **kwargs)
Collection.upsert = upsert
sys.argv = {["resift", *INDEX[3:]]!r}
main()
"""
    first = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    while first.poll() is None and not (tmp_path / "writing").exists():
        time.sleep(0.01)
    second = subprocess.run(INDEX, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    (tmp_path / "go-on").touch()
    output = first.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (0, 1), (output, second)
    assert second.stderr.startswith(f"resift: process {first.pid} on ")
    assert second.stderr.endswith("is writing into db: run the command again when it is done, or give another --db\n")
    assert len(second.stderr.splitlines()) == 1
    monkeypatch.chdir(tmp_path)
    assert "files: 12 unchanged" in CliRunner().invoke(app, INDEX[3:]).stdout
    check_whole(tmp_path, 60)


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from resift.search.collections import lock_database\n"
        "with lock_database(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, tmp_path / "db"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"process {holder.pid} on .* is writing"), lock_database(tmp_path / "db"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with lock_database(tmp_path / "db"):
        pass


@pytest.mark.slow
def test_a_collection_that_two_runs_damaged_is_made_anew(damaged: Path, tmp_path: Path) -> None:
    shutil.copytree(damaged, tmp_path, dirs_exist_ok=True)
    first = subprocess.run(INDEX, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert first.returncode == 0, first.stderr
    assert "note: collection 'documents' is damaged (" in first.stderr
    second = subprocess.run(INDEX, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "files: 300 unchanged" in second.stdout
    assert not second.stderr
    check_whole(tmp_path, 1500)


@pytest.mark.slow
def test_a_repair_that_is_killed_is_completed_by_the_next_run(damaged: Path, tmp_path: Path) -> None:
    shutil.copytree(damaged, tmp_path, dirs_exist_ok=True)
    for call in ("Collection.add", "Collection.modify"):
        killed = (
            "import os, sys\nfrom chromadb import Collection\nfrom resift.cli.app import main\n"
            f"def kill(*_, **__): os.kill(os.getpid(), 9)\n{call} = kill\nsys.argv = {['resift', *INDEX[3:]]!r}\nmain()"
        )
        died = subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, capture_output=True, timeout=120)
        assert died.returncode == -signal.SIGKILL, died.stderr
    subprocess.run(INDEX, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    check_whole(tmp_path, 1500)


def test_a_rebuilt_collection_has_the_same_records(tmp_path: Path) -> None:
    collection = create_collection(tmp_path, "documents", "static")
    lists = tuple(map(int, chromadb.__version__.split(".")[:2])) >= (1, 5)  # before, Chroma keeps no lists
    metadatas = [{"a": "text", "b": 3, "c": 2.5, "d": True, "e": False}, {"tags": ["x", "y"] if lists else "x"}, None]
    collection.add(ids=["1", "2", "3"], documents=["one", "two", "three"], metadatas=metadatas)  # type: ignore[arg-type]
    before = collection.get(include=["documents", "metadatas", "embeddings"])
    assert find_damage(collection) == ""
    assert len(read_records(tmp_path / "chroma.sqlite3", str(collection.id))) == 3
    rebuilt = rebuild_collection(tmp_path, collection)
    after = rebuilt.get(include=["documents", "metadatas", "embeddings"])
    assert (after["ids"], after["documents"], after["metadatas"]) == (
        before["ids"],
        before["documents"],
        before["metadatas"],
    )
    assert after["embeddings"] is not None
    assert before["embeddings"] is not None
    assert (after["embeddings"] == before["embeddings"]).all()  # type: ignore[union-attr]
    assert rebuilt.configuration_json["hnsw"]["ef_search"] == 200
    assert open_collection(tmp_path).name == "documents"


def test_records_without_text_are_not_given_up(tmp_path: Path) -> None:
    collection = create_collection(tmp_path, "documents", "static")
    collection.add(ids=["1"], embeddings=[[0.5] * len(collection._embed(["a"])[0])])
    with pytest.raises(InputError, match="records that have no text"):
        rebuild_collection(tmp_path, collection)
    assert open_collection(tmp_path, "documents").count() == 1
    assert open_collection(tmp_path, "documents" + REBUILT).count() == 0
