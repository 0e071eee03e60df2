"""`resift index` is killed while it adds, replaces and removes: the next run leaves vectors and words in step."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import pytest
from typer.testing import CliRunner

from reliability import setting, short_and_long
from resift.cli.app import app
from resift.search.chroma import ChromaFirstStage
from resift.search.collections import open_collection
from resift.search.damage import find_damage
from resift.search.hybrid import HybridFirstStage
from resift.search.in_step import CollectionIndex

INDEX = ["index", "docs", "--embedder", "static", "--db", "db", "--prune"]
PAGES = 24
PARTS = 4
START = 1.5  # seconds: most of a run is Python's imports


def write(folder: Path, number: int, word: str) -> None:
    parts = [f"Part {part} of page {number}: {word}{number}. " + "Pandas eat bamboo. " * 45 for part in range(PARTS)]
    (folder / "docs" / f"{number}.md").write_text(f"# Page {number}\n\n" + "\n\n".join(parts))


def index_here() -> Any:
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    result = CliRunner().invoke(app, INDEX, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index whose files have been changed since: a third is replaced, a third removed, a third new."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "docs").mkdir()
    for number in range(PAGES):
        write(folder, number, "old")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index_here()
    chromadb.api.client.SharedSystemClient.clear_system_cache()
    for number in range(0, PAGES, 3):
        write(folder, number, "new")
        (folder / "docs" / f"{number + 1}.md").unlink()
        write(folder, PAGES + number, "new")
    return folder


def check(stage: HybridFirstStage) -> None:
    """Every word that is there now is found where it is, no word that is gone, and both halves hold the same."""
    collection = stage.collection
    assert len(collection.get(include=[])["ids"]) == PAGES * PARTS
    assert not find_damage(collection)
    assert CollectionIndex(collection).behind(exact=True) == ""
    for number in (0, 3, 21):
        for there, gone in ((f"new{number}", f"old{number}"), (f"new{PAGES + number}", f"old{number + 1}")):
            best = stage.retrieve(there, 5)[0]
            assert f": {there}." in best.text
            assert best.found["lexical"].rank <= PARTS
            assert stage.lexical.retrieve(gone, 5) == []


@pytest.mark.slow  # several processes
@short_and_long(2, 10)
def test_killed_at_random_moments(
    size: int,
    indexed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, Any], None],
) -> None:
    size = int(setting("RESIFT_KILLS", size)) if size > 2 else size
    draw, kills, behind = random.Random(setting("RESIFT_SEED", 7)), 0, 0
    for number in range(size):
        folder = Path(shutil.copytree(indexed, tmp_path / str(number)))
        mark = folder / "db" / "lexical"
        with subprocess.Popen([sys.executable, "-m", "resift", *INDEX], cwd=folder, stdout=-3, stderr=-3) as running:
            while running.poll() is None and not list(mark.glob("*.behind")):
                time.sleep(0.002)
            time.sleep(draw.random() * START)
            running.send_signal(signal.SIGKILL)
        kills += running.returncode == -signal.SIGKILL
        monkeypatch.chdir(folder)
        chromadb.api.client.SharedSystemClient.clear_system_cache()
        stage = HybridFirstStage(ChromaFirstStage(open_collection(folder / "db", "documents")))
        behind += CollectionIndex(stage.collection).behind() != ""
        if number % 2:  # a search before the next run brings the words up to what the collection has
            stage.retrieve("pandas", 5)
            assert CollectionIndex(stage.collection).behind(exact=True) == ""
        index_here()
        chromadb.api.client.SharedSystemClient.clear_system_cache()
        check(HybridFirstStage(ChromaFirstStage(open_collection(folder / "db", "documents"))))
        chromadb.api.client.SharedSystemClient.clear_system_cache()
        shutil.rmtree(folder)
    record_property("figure", f"killed, both halves: {kills} kills in {size} runs, {behind} out of step, all repaired")
