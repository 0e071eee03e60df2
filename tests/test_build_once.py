"""Folders that the workers of a run share: built once, and never seen before they are complete."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from build_once import BuildOnce


def test_whoever_comes_first_builds_for_all(tmp_path: Path) -> None:
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        time.sleep(0.05)
        (folder / "model").touch()

    def get(_: int) -> list[str]:
        return [file.name for file in BuildOnce(tmp_path)("saved/bert", build).iterdir()]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(get, range(8))) == [["model"]] * 8
    assert [folder.name for folder in builds] == ["bert"]


def test_a_build_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    build_once = BuildOnce(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        build_once("saved/bert", fail)
    assert not (tmp_path / "saved" / "bert").exists()
    folder = build_once("saved/bert", lambda folder: (folder / "whole").touch())
    assert [file.name for file in folder.iterdir()] == ["whole"]
