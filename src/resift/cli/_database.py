"""The database of `--db` and a collection in it, with the way out in words of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resift.cli._options import DB
from resift.cli._output import note
from resift.errors import InputError
from resift.search.collections import (
    CollectionNotFoundError,
    OtherEmbeddingError,
    create_collection,
    has_database,
    open_collection,
    rebuild_collection,
)
from resift.search.damage import find_damage

if TYPE_CHECKING:
    from chromadb import Collection


def create(db: Path, collection: str, embedder: str | None = None, states_file: Path | None = None) -> Collection:
    """Return the collection for `index`, created if it isn't there. See `create_collection`."""
    try:
        return create_collection(db, collection, embedder, states_file)
    except OtherEmbeddingError as error:
        way_out = "" if error.own is None else "leave out --embedder, or "
        raise InputError(f"{error}: {way_out}index into a new --collection") from None


def repair(db: Path, target: Collection, states_file: Path | None = None) -> Collection:
    """Return the collection for `index`, made anew where its vectors are damaged; a note says so."""
    if not (damage := find_damage(target)):
        return target
    note(f"collection {target.name!r} is damaged ({damage}); its passages are embedded anew")
    return rebuild_collection(db, target, states_file)


def existing(db: Path, collection: str, embedder: str | None = None) -> Collection:
    """Return the collection for `search`. Raises InputError, saying how to make it, where there is none."""
    if not has_database(db):
        raise InputError(f"there is no database in {db}; make one with: resift index FOLDER{_db_option(db)}")
    try:
        return open_collection(db, collection, embedder)
    except CollectionNotFoundError as error:
        command = f"resift index FOLDER --collection {collection}{_db_option(db)}"
        raise InputError(f"{error}; make it with: {command}") from None


def _db_option(db: Path) -> str:
    return "" if db == DB else f" --db {db}"
