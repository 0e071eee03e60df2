"""What is kept on disk, killed at random moments, on a full disk, cut off: the next run completes it.

Single cases: `tests/_util/test_sqlite.py`, `tests/bulk`, `tests/documents/test_two_indexers.py`, `tests/training`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reliability import no_hang, setting
from resift import Reranker
from resift.demo import fables
from resift.models.manifest import sha256
from resift.search.collections import open_collection
from resift.search.damage import find_damage

RESIFT = [sys.executable, "-m", "resift"]
TIMEOUT = 300
PAGES = 30
QUESTION = "what does the fox say about the grapes?"

RERANK = """
import json, sys
from pathlib import Path
from resift import Reranker
texts, expected = json.loads(Path("texts.json").read_text()), json.loads(Path("expected.json").read_text())
reranker = Reranker(sys.argv[1], **{sys.argv[2]: "kept.sqlite3"})
for start in range(0, len(texts), 4):
    part = texts[start : start + 4]
    scores = {hit.document: hit.score for hit in reranker.rank(sys.argv[3], part)}
    wrong = {text: score for text, score in scores.items() if abs(score - expected[text]) > 1e-4}
    assert not wrong, wrong
"""
DISTILL = """
import sys
import resift.training.first_stage_trainer as trainer
trainer.STEPS_PER_CHECKPOINT = 2
from resift.cli.app import main
sys.argv = ["resift", *sys.argv[1:]]
main()
"""


def write_documents(folder: Path) -> None:
    (folder / "docs").mkdir()
    for number in range(PAGES):
        parts = [f"Part {part} of page {number}. " + "Pandas eat bamboo. " * 45 for part in range(4)]
        (folder / "docs" / f"{number}.md").write_text(f"# Page {number}\n\n" + "\n\n".join(parts))


def check_index(folder: Path) -> None:
    collection = open_collection(folder / "db", "documents")
    ids = collection.get(include=[])["ids"]
    assert len(ids) == 4 * PAGES
    assert not find_damage(collection)
    found = collection.query(query_texts=["page"], n_results=4 * PAGES, include=[])["ids"][0]
    assert sorted(found) == sorted(ids)
    close_databases()


def close_databases() -> None:
    import chromadb

    chromadb.api.client.SharedSystemClient.clear_system_cache()


def write_texts(model: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        texts = [story.text[:400] for story in fables()]
        options = {"keep_states": 10**9} if model == "resift:small" else {}  # kept states are rounded
        expected = {hit.document: hit.score for hit in Reranker(model, **options).rank(QUESTION, texts)}  # type: ignore[arg-type]
        (folder / "texts.json").write_text(json.dumps(texts))
        (folder / "expected.json").write_text(json.dumps(expected))

    return write


def check_kept(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "kept.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def write_rows(folder: Path) -> None:
    rows = [{"id": n, "query": f"what eats bamboo {n % 7}", "document": f"Pandas eat {n}. " * 8} for n in range(600)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def check_rows(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(600))
    assert all(isinstance(row["score"], float) for row in rows)


def write_corpus(folder: Path) -> None:
    rows = [{"_id": story.id, "title": story.metadata["title"], "text": story.text} for story in fables()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def check_model(folder: Path) -> None:
    assert (folder / "out" / "resift.json").exists()


@dataclass(frozen=True)
class Kept:
    """A state on disk: how its input is made, which command makes it, where it begins, what it must hold at the end."""

    write: Callable[[Path], None]
    command: list[str]
    first: str
    """What is on disk as soon as there is something to lose."""
    check: Callable[[Path], None]
    result: str = ""
    """A file that is the same to the byte whatever happened in between."""


def rerank_command(model: str, option: str) -> list[str]:
    return [sys.executable, "-c", RERANK, model, option, QUESTION]


KEPT = {
    "index": Kept(
        write_documents,
        [*RESIFT, "index", "docs", "--embedder", "static", "--db", "db"],
        "db/chroma.sqlite3",
        check_index,
    ),
    "states": Kept(
        write_texts("resift:small"), rerank_command("resift:small", "states_file"), "kept.sqlite3", check_kept
    ),
    "scores": Kept(write_texts("resift:tiny"), rerank_command("resift:tiny", "cache"), "kept.sqlite3", check_kept),
    "score job": Kept(
        write_rows,
        [*RESIFT, "score", "in.jsonl", "out.jsonl", "-m", "resift:tiny", "--block-rows", "5", "--threads", "1"],
        "out.jsonl.parts/_resift.json",
        check_rows,
        "out.jsonl",
    ),
    "training run": Kept(
        write_corpus,
        [
            *[sys.executable, "-c", DISTILL, "distill", "out", "--corpus", "corpus.jsonl", "--teacher", "none"],
            *["--steps", "12", "--batch", "8"],
        ],
        "out/checkpoints",
        check_model,
        "out/table.npy",
    ),
}


def run(kept: Kept, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(kept.command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def run_to_its_end(kept: Kept, folder: Path) -> None:
    """Run the command again. One that was killed after its last step says that the result is there."""
    done = run(kept, folder)
    assert done.returncode == 0 or (is_one_line(done) and "already" in done.stderr), done.stderr[-2000:]
    kept.check(folder)


def is_one_line(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command that failed said why in a line, and no more but notes and warnings."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("resift: ")]
    return done.returncode == 1 and len(lines) == 1 and "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path, float]]:
    """name → a folder with the input, one with a whole run in it, and how long that took from its first file on."""
    made: dict[str, tuple[Path, Path, float]] = {}

    def whole(name: str) -> tuple[Path, Path, float]:
        if name not in made:
            kept, source = KEPT[name], tmp_path_factory.mktemp("source")
            kept.write(source)
            target = Path(shutil.copytree(source, tmp_path_factory.mktemp("whole") / "folder"))
            with subprocess.Popen(kept.command, cwd=target, stdout=-1, stderr=-1) as running:
                while running.poll() is None and not (target / kept.first).exists():
                    time.sleep(0.002)
                started = time.monotonic()
                _, errors = running.communicate(timeout=TIMEOUT)
            assert running.returncode == 0, errors[-2000:]
            kept.check(target)
            made[name] = source, target, time.monotonic() - started
        return made[name]

    return whole


KILLS_OF_EACH = 20
KILLED_HERE = [name for name in KEPT if name != "training run"]  # that one is in test_training_runs.py


def cases(*, short: list[str]) -> Any:
    """Run all of them in the long form; in the short one those that are named, once."""
    short_ones = [pytest.param(name, 1, id=f"{name}-short") for name in short]
    long_ones = [
        pytest.param(name, KILLS_OF_EACH, id=f"{name}-long", marks=pytest.mark.reliability) for name in KILLED_HERE
    ]
    return pytest.mark.parametrize(("name", "size"), [*short_ones, *long_ones])


@cases(short=["scores"])
def test_killed_at_random_moments(
    name: str,
    size: int,
    wholes: Callable[[str], tuple[Path, Path, float]],
    tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:
    kept, (source, whole, seconds) = KEPT[name], wholes(name)
    size = int(setting("RESIFT_KILLS", size)) if size > 1 else size
    draw, kills = random.Random(f"{setting('RESIFT_SEED', 7)}, {name}"), 0
    for number in range(size):
        folder = Path(shutil.copytree(source, tmp_path / str(number)))
        for _ in range(draw.choice([1, 1, 2, 3])):
            with subprocess.Popen(kept.command, cwd=folder, stdout=subprocess.DEVNULL, stderr=-1) as running:
                while running.poll() is None and not (folder / kept.first).exists():
                    time.sleep(0.001)
                time.sleep(draw.random() * seconds)
                running.send_signal(signal.SIGKILL)
            kills += running.returncode == -signal.SIGKILL
            if running.returncode == 0:
                break
        if running.returncode:
            run_to_its_end(kept, folder)
        if kept.result:
            assert sha256(folder / kept.result) == sha256(whole / kept.result), f"{number}: another result"
        shutil.rmtree(folder)
    assert kills or size < KILLS_OF_EACH, "each run was done before it could be killed"
    record_property("figure", f"killed, {name}: {kills} kills in {size} runs, each completed, 0 wrong")


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[], None]]:
    """Mount a file system of so many bytes; what is given makes it larger."""
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False)
    if mount.returncode:
        pytest.skip("mounting a small disk needs rights")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.reliability
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs rights")
@pytest.mark.parametrize("name", KEPT)
def test_a_full_disk(
    name: str,
    wholes: Callable[[str], tuple[Path, Path, float]],
    tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:
    kept, (source, whole, _) = KEPT[name], wholes(name)
    room = max(bytes_of(whole) - bytes_of(source), 1 << 20)
    failed = 0
    shares = (0.1, 0.3, 0.5, 0.7, 0.9)
    for share in shares:
        with small_disk(tmp_path / f"disk{share}", bytes_of(source) * 2 + int(room * share)) as enlarge:
            folder = Path(shutil.copytree(source, tmp_path / f"disk{share}" / "folder"))
            done = run(kept, folder)
            failed += done.returncode != 0
            assert done.returncode == 0 or is_one_line(done), done.stderr[-2000:]
            enlarge()
            if done.returncode:
                run_to_its_end(kept, folder)
            if kept.result:
                assert sha256(folder / kept.result) == sha256(whole / kept.result)
    record_property(
        "figure", f"full disk, {name}: {failed} of {len(shares)} sizes stopped with one line, all completed, 0 wrong"
    )


@pytest.mark.parametrize("how", ["cut", "empty"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.reliability) for name in KILLED_HERE])
def test_a_file_that_is_cut_off(
    name: str, how: str, wholes: Callable[[str], tuple[Path, Path, float]], tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:  # fmt: skip
    """Of a run that was killed, or of a whole one: completed, or one line that names the file or folder."""
    kept, (source, whole, seconds) = KEPT[name], wholes(name)
    start = Path(shutil.copytree(source, tmp_path / "start"))
    with subprocess.Popen(kept.command, cwd=start, stdout=subprocess.DEVNULL, stderr=-1) as running:
        while running.poll() is None and not (start / kept.first).exists():
            time.sleep(0.001)
        time.sleep(0.4 * seconds)
        running.send_signal(signal.SIGKILL)
    before = {file.relative_to(source) for file in source.rglob("*")}
    files = [file.relative_to(start) for file in start.rglob("*") if file.is_file()]
    kept_files = sorted(file for file in files if file not in before)
    outcomes = {"completed": 0, "one line": 0}
    for number, file in enumerate(random.Random(7).sample(kept_files, min(12, len(kept_files)))):
        folder = Path(shutil.copytree(start, tmp_path / str(number)))
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(b"" if how == "empty" else data[: len(data) // 2])
        with no_hang(f"{name}, {file} {how}", TIMEOUT):
            done = run(kept, folder)
        if done.returncode == 0:
            outcomes["completed"] += 1
            if kept.result:  # the others are left as they are, with a warning that says what to do
                kept.check(folder)
            if kept.result:
                assert sha256(folder / kept.result) == sha256(whole / kept.result), f"{file}: another result"
        else:
            outcomes["one line"] += 1
            assert is_one_line(done), f"{file}: {done.stderr[-1500:]}"
        shutil.rmtree(folder)
    record_property("figure", f"{how}, {name}: of {sum(outcomes.values())} files {outcomes}, 0 wrong")
