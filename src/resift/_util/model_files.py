"""The files of a model folder: which of them may be opened, and what is said of one that can't be read.

Nothing outside the folder is opened, whatever a manifest, an ONNX graph or a symbolic link names. Two kinds of links
are followed all the same, since they are how folders get on this machine: those between the files of one folder, and
those into the blobs of the Hugging Face cache, whose snapshots are folders of links. Links anywhere else are refused:
an unpacked archive must not be able to name a file of its reader. The models in the wheels may be linked anywhere, as
some installers link a whole package; whoever can change that package can change its code too.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from resift.errors import ModelFileError, ResiftError

BUNDLED_FOLDER = Path(__file__).parent.parent / "models" / "bundled"
MODEL_PACKAGES = ("resift_multilingual",)
"""Packages that hold nothing but a model, each a distribution of its own."""
GIT_LFS_POINTER = b"version https://git-lfs"
RUN_GIT_LFS = "run `git lfs pull`"
# How an ONNX graph names a file of weights: a StringStringEntryProto with the key "location", its value next.
LOCATION_KEY, VALUE_TAG = b"\x0a\x08location", 0x12
VARINT_CONTINUES = 0x80


def package_folder(package: str) -> Path | None:
    """Return the folder of the model that an installed package holds; None where there is none. It isn't imported."""
    spec = find_spec(package)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"
    return folder if folder is not None and folder.is_dir() else None


def has_file(folder: Path, name: str) -> bool:
    """Return whether a folder has anything of that name, a broken link too; `locate_file` checks what it is."""
    return os.path.lexists(folder / name)


def locate_file(folder: Path, name: str) -> Path:
    """Return the path of a file in a model folder.

    Args:
        folder: The model folder.
        name: The file's name, relative to the folder, with `/` between its parts.

    Returns:
        The path, of a regular file that may be opened.

    Raises:
        ModelFileError: The name leads out of the folder, also by a link, or there is no regular file.
    """
    path = folder / name
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if not name or "\0" in name or posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts):
        raise ModelFileError(f"{folder} names {name!r} as one of its files, which is no name inside the folder")
    try:
        if not has_file(folder, name):
            raise ModelFileError(f"{folder} lacks {name}: {_copy_again(path)}")
        target, root = path.resolve(strict=True), folder.resolve()
        if not (target.is_relative_to(root) or _distribution_of(root) or _is_hub_blob(target)):
            raise ModelFileError(
                f"{path} is a link to {target}, outside the model's folder; put a copy of the file into the folder"
            )
        if not target.is_file():
            kind = "a folder" if target.is_dir() else "no regular file"
            raise ModelFileError(f"{path} is {kind}, where a file belongs: {_copy_again(path)}")
    except ModelFileError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, up to Python 3.12
        raise ModelFileError(f"{path} can't be opened: {error}; {_copy_again(path)}") from error
    return path


def _distribution_of(folder: Path) -> str | None:
    """Return the distribution whose model a folder belongs to; None for any other folder."""
    packaged = {"resift": BUNDLED_FOLDER, **{name.replace("_", "-"): package_folder(name) for name in MODEL_PACKAGES}}
    for distribution, models in packaged.items():
        if models is not None and folder.is_relative_to(models.resolve()):
            return distribution
    return None


def _is_hub_blob(target: Path) -> bool:
    """Return whether a path is `models--organisation--name/blobs/checksum`, as in the Hugging Face cache."""
    blobs = target.parent
    return blobs.name == "blobs" and blobs.parent.name.startswith("models--")


@contextmanager
def report_unreadable(path: Path, what: str) -> Iterator[None]:
    """Turn any error of reading a model file into a ModelFileError that names it.

    Args:
        path: The file.
        what: What it should be, such as "tokenizer".

    Raises:
        ModelFileError: The `with` block raised an error that is not one of resift's own.
    """
    try:
        yield
    except ResiftError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of libraries in Rust
            raise
        detail = str(error) or type(error).__name__
        raise ModelFileError(f"{path} can't be read as a {what}: {detail[:400]}; {way_out(path)}") from error


def way_out(path: Path) -> str:
    """Return what a user can do about a file that `locate_file` has found, but that can't be read."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER:
            return f"it is a git-lfs pointer, {RUN_GIT_LFS}"
    return _copy_again(path)


def _copy_again(path: Path) -> str:
    """Return where a file comes from again, without opening it: it may be no regular file."""
    with suppress(OSError, RuntimeError):  # RuntimeError: links in a circle, up to Python 3.12
        if distribution := _distribution_of(path.parent.resolve()):
            return f"pip install --force-reinstall --no-deps {distribution}"
    return "copy or export the model again"


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file. Raise ModelFileError for a file that can't be read or holds something else."""
    with report_unreadable(path, "JSON object"):
        text = path.read_text(encoding="utf-8")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not valid JSON: {error}; {way_out(path)}") from error
    if not isinstance(data, dict):
        raise ModelFileError(f"{path} holds a JSON {type(data).__name__}, where an object belongs; {way_out(path)}")
    return data


def external_data_files(folder: Path, graph: str) -> list[str]:
    """Return the files of weights that an ONNX graph names beside itself, sorted, as names relative to the folder.

    Args:
        folder: The model folder.
        graph: The graph's name in it.

    Returns:
        Names such as "onnx/model.onnx_data"; they may not exist.

    Raises:
        ModelFileError: The graph can't be read.
    """
    path = folder / graph
    locations = set()
    with report_unreadable(path, "graph"), path.open("rb") as file:
        if path.stat().st_size == 0:
            raise ModelFileError(f"{path} is empty: {way_out(path)}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = data.find(LOCATION_KEY)
            while found >= 0:
                location = _read_value(data, found + len(LOCATION_KEY))
                if location is not None:
                    locations.add(location)
                found = data.find(LOCATION_KEY, found + 1)
    parent = str(PurePosixPath(graph).parent)
    return sorted(location if parent == "." else f"{parent}/{location}" for location in locations)


def _read_value(data: mmap.mmap, start: int) -> str | None:
    """Return the protobuf string that follows a key; None where there is none."""
    if start >= len(data) or data[start] != VALUE_TAG:
        return None
    length, shift = 0, 0
    for offset in range(start + 1, min(start + 6, len(data))):
        length |= (data[offset] & (VARINT_CONTINUES - 1)) << shift
        if not data[offset] & VARINT_CONTINUES:
            return data[offset + 1 : offset + 1 + length].decode("utf-8", "replace") if length <= len(data) else None
        shift += 7
    return None
