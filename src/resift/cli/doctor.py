"""`resift doctor`: is everything in a database folder as it should be, and what to do where it isn't."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resift.cli._options import DB, STATES, Json
from resift.cli._output import console, json_document

if TYPE_CHECKING:
    from chromadb import Collection

Folder = Annotated[Path, typer.Argument(metavar="[DB]", help="Folder of the database.", show_default=True)]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what is wrong with it."""

    name: str
    detail: str
    way_out: str = ""
    """What to do; "" where nothing is wrong."""


def doctor(db: Folder = DB, as_json: Json = False) -> None:
    """Check a database folder: collections, models, vectors, lexical indexes, kept states. Nothing is changed.

    Exit code 1 if something is wrong.
    """
    checks = list(_check_folder(db))
    if as_json:
        rows = [asdict(check) | {"ok": not check.way_out} for check in checks]
        json_document({"db": str(db), "ok": all(row["ok"] for row in rows), "checks": rows})
    else:
        screen = console()
        for check in checks:
            screen.print(f"{'WRONG' if check.way_out else 'ok':5}  {check.name}: {check.detail}", soft_wrap=True)
            if check.way_out:
                screen.print(f"       -> {check.way_out}", soft_wrap=True)
    if any(check.way_out for check in checks):
        raise typer.Exit(1)


def _check_folder(db: Path) -> Iterator[Check]:
    import sqlite3

    from resift.errors import InputError
    from resift.search.collections import (
        DATABASE_FILE,
        DatabaseLockedError,
        check_unlocked,
        has_database,
        list_collections,
        lock_database,
    )

    yield Check(
        "versions", f"resift {version('resift')}, chromadb {version('chromadb')}, SQLite {sqlite3.sqlite_version}"
    )
    if not has_database(db):
        yield Check("database", f"there is none in {db}", f"resift index FOLDER --db {db}")
        return
    try:
        with lock_database(db):  # half-written vectors look like damaged ones
            check_unlocked(db / DATABASE_FILE)
            if error := _sqlite_error(db / DATABASE_FILE):
                yield Check(
                    "database", error, f"delete {db} and index into it again: what it holds comes from your files"
                )
                return
            yield Check("database", f"{db / DATABASE_FILE} is sound")
            collections = list_collections(db)
            if not collections:
                yield Check("collections", "there is none", f"resift index FOLDER --db {db}")
            for collection in collections:
                check = _check_collection(db, collection)
                yield check
                if not check.way_out:
                    yield _check_lexical(db, collection)
            if (db / STATES).exists():
                check_unlocked(db / STATES)
                error = _sqlite_error(db / STATES)
                way_out = "delete the file; resift index FOLDER --keep-states makes it again" if error else ""
                yield Check("kept states", error or f"{db / STATES} is sound", way_out)
    except DatabaseLockedError as error:
        yield Check("database", str(error), "run resift doctor again afterwards")
    except InputError as error:
        yield Check("database", str(error), "run resift doctor again afterwards, or delete the folder and index again")


def _check_collection(db: Path, collection: Collection) -> Check:
    from resift.documents.ingest import unfinished_files
    from resift.errors import InputError, MissingExtraError, ModelFileError
    from resift.search.chroma import bi_encoder_of, check_model_files, check_vectors, embedding_name
    from resift.search.collections import REBUILT
    from resift.search.damage import find_damage

    name = f"collection {collection.name!r}"
    again = f"resift index FOLDER --collection {collection.name.removesuffix(REBUILT)} --db {db}"
    if collection.name.endswith(REBUILT):
        return Check(name, "a repair was killed before it was done", f"{again} completes it")
    try:
        check_vectors(collection)
        check_model_files(collection)
    except InputError as error:
        return Check(name, str(error), f"resift index FOLDER --collection ANOTHER --db {db}")
    except MissingExtraError as error:
        return Check(name, f"{embedding_name(collection)} embeds it, and isn't installed", error.install)
    except ModelFileError as error:
        return Check(name, str(error), "make its model whole again, then run resift doctor again")
    if damage := find_damage(collection):
        ours = bi_encoder_of(collection) is not None
        return Check(
            name, damage, f"{again} makes it anew" if ours else "fill a new collection: resift can't repair this one"
        )
    if unfinished := unfinished_files(collection):
        others = f"{len(unfinished)} files are not stored whole, the first is {unfinished[0]}"
        detail = others if len(unfinished) > 1 else f"{unfinished[0]} is not stored whole"
        return Check(name, detail, f"{again} completes them")
    return Check(
        name, f"{collection.count()} records, embedded with {embedding_name(collection) or 'a function of its own'}"
    )


def _check_lexical(db: Path, collection: Collection) -> Check:
    from resift.search.in_step import CollectionIndex

    name = f"lexical index of {collection.name!r}"
    index = CollectionIndex(collection)
    if not index.is_made:
        return Check(name, "there is none yet; the next search makes it")
    if behind := index.behind(exact=True):
        again = f"resift search QUESTION --collection {collection.name} --db {db}"
        return Check(name, behind, f"{again} brings it up to date, as resift index does")
    return Check(name, f"in step with the collection, {index.bytes():,} bytes")


def _sqlite_error(file: Path) -> str:
    """Return what is wrong with a SQLite file; "" where it is sound."""
    import sqlite3  # only this command uses it

    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return f"{file} can't be read: {error}"
    return "" if result == "ok" else f"{file} is damaged: {result}"
