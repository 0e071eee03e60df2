"""`resift doctor` names what is wrong in a database folder, and the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import chromadb
import pytest
from typer.testing import CliRunner

from resift.cli.app import app
from resift.models.bundled import bundled_folder
from resift.search.collections import REBUILT, create_collection, lock_database, open_collection


def doctor(*arguments: str, code: int) -> Any:
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    result = CliRunner().invoke(app, ["doctor", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("Pandas eat bamboo.")
    return tmp_path


@pytest.fixture
def indexed(here: Path) -> Path:
    result = CliRunner().invoke(app, ["index", "a.txt", "--embedder", "static"], catch_exceptions=False)
    assert result.exit_code == 0
    return here / ".resift"


def test_a_sound_folder(indexed: Path) -> None:
    output = doctor(code=0).stdout
    assert "ok     collection 'documents': 1 records, embedded with resift:static" in output
    assert "WRONG" not in output
    report = json.loads(doctor(".resift", "--json", code=0).stdout)
    assert report["ok"]
    assert [check["name"] for check in report["checks"]] == [
        "versions",
        "database",
        "collection 'documents'",
        "lexical index of 'documents'",
    ]


def test_no_database(here: Path) -> None:
    assert "-> resift index FOLDER --db nothing" in doctor("nothing", code=1).stdout
    assert not (here / "nothing").exists()


def test_a_damaged_database(indexed: Path) -> None:
    (indexed / "chroma.sqlite3").write_bytes(b"no database" * 200)
    assert "WRONG  database: .resift/chroma.sqlite3 can't be read: file is not a database" in doctor(code=1).stdout


def test_damaged_states(indexed: Path) -> None:
    (indexed / "states.sqlite3").write_bytes(b"no database" * 200)
    output = doctor(code=1).stdout
    assert "WRONG  kept states: " in output
    assert "-> delete the file; " in output


def test_a_folder_that_is_being_written(indexed: Path) -> None:
    with lock_database(indexed):
        assert "is writing into .resift" in doctor(code=1).stdout


def test_damaged_vectors(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resift.search.damage.find_damage", lambda collection: "a record has no vector")
    output = doctor(code=1).stdout
    assert "WRONG  collection 'documents': a record has no vector" in output
    assert "-> resift index FOLDER --collection documents --db .resift makes it anew" in output


@pytest.mark.parametrize("damaged", ["table.npy", "tokenizer.json"])
def test_a_damaged_model_of_ones_own(here: Path, damaged: str) -> None:
    shutil.copytree(bundled_folder("static"), here / "own")
    create_collection(here / ".resift", "documents", str(here / "own")).add(ids=["a"], documents=["Pandas eat bamboo."])
    assert "WRONG" not in doctor(code=0).stdout
    with (here / "own" / damaged).open("r+b") as file:
        file.write(b"?")
    output = doctor(code=1).stdout
    assert f"WRONG  collection 'documents': {here / 'own' / damaged} is damaged or was changed: SHA-256 " in output
    assert "-> make its model whole again" in output


def test_a_file_that_is_not_stored_whole(indexed: Path) -> None:
    metadata = {"path": "b.txt", "file_hash": "0", "passages": 2}
    create_collection(indexed, "documents").add(ids=["half"], documents=["half"], metadatas=[metadata])
    assert ": b.txt is not stored whole" in doctor(code=1).stdout


def test_a_repair_that_was_killed(indexed: Path) -> None:
    create_collection(indexed, "documents" + REBUILT, "static")
    assert "a repair was killed before it was done" in doctor(code=1).stdout


def test_a_lexical_index_that_is_behind_or_damaged_or_not_there(indexed: Path) -> None:
    collection = open_collection(indexed, "documents")
    collection.update(ids=collection.get()["ids"], documents=["Pandas eat bamboo and apples."])
    output = doctor(code=1).stdout
    assert "WRONG  lexical index of 'documents': 1 of its 1 passages differs from the collection's" in output
    assert "-> resift search QUESTION --collection documents --db .resift brings it up to date" in output
    for file in (indexed / "lexical").rglob("meta.json"):
        file.write_text("{}")
    assert "WRONG  lexical index of 'documents': the lexical index in " in doctor(code=1).stdout
    shutil.rmtree(indexed / "lexical")
    assert "ok     lexical index of 'documents': there is none yet; the next search makes it" in doctor(code=0).stdout
