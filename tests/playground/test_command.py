"""`resift playground`: what it opens, what it refuses, and that it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from resift.cli import playground as command
from resift.cli.app import app
from resift.models.bundled import installed_rerankers
from resift.serving import server

ADDRESS = "http://127.0.0.1"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the answers to what the page asks at its start, of each playground that is opened instead of run."""
    answers: list[Any] = []

    def look(application: Any, listening: Any, *, drain_seconds: float) -> None:
        with TestClient(application, base_url=ADDRESS, headers={"Origin": ADDRESS}) as client:
            state = client.get("/api/state").json()
            asked = {"query": "what eats bamboo?", "model": state["models"][0], "candidates": 5}
            found = client.post("/api/search", json=asked).json()
            answers.append((state, found, client.post("/api/code", json=asked).json()))

    monkeypatch.setattr(server, "run", look)
    monkeypatch.setattr(command.webbrowser, "open", lambda address: answers.append(address))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return answers


def run(*arguments: object, code: int = 0) -> Any:
    words = ["playground", "--port", "0", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_it_opens_a_collection(database: Path, served: list[Any], tmp_path: Path) -> None:
    result = run("--database", database, "--collection", "zoo", "--judgements", tmp_path / "marks")
    assert re.search(r"the playground is at http://127\.0\.0\.1:\d+/", result.stdout)
    ((state, found, code),) = served
    assert (state["collection"], state["passages"], state["bi_encoder"]) == ("zoo", 11, "resift:static")
    assert state["models"] == installed_rerankers()
    assert state["first_stages"] == ["hybrid", "vectors"]
    assert state["judgements"]["folder"] == str(tmp_path / "marks")
    assert found["hits"][0]["source"] == "pandas.md"
    assert str(database) in code["python"]
    assert not (tmp_path / "marks").exists()


def test_a_folder_is_indexed_into_a_database_that_is_not_kept(
    served: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pandas.md").write_text("# Pandas\n\nPandas eat bamboo.")
    (tmp_path / "docs" / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    result = run("docs", "--embedder", "static", "--model", "resift:tiny")
    assert "broken.pdf" in result.stderr
    ((state, found, _),) = served
    assert (state["temporary"], state["passages"], state["models"][0]) == (True, 1, "resift:tiny")
    assert state["judgements"]["folder"] == str(Path(".resift/judgements/docs"))
    assert (found["hits"][0]["source"], found["hits"][0]["body"]) == ("docs/pandas.md", "Pandas eat bamboo.")
    assert not Path(state["database"]).exists()
    run("docs", "--embedder", "static", "--db", "kept")
    assert served[1][0]["temporary"] is False
    assert (tmp_path / "kept" / "chroma.sqlite3").is_file()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "no host"])
def test_an_address_that_others_reach_is_refused(database: Path, served: list[Any], host: str) -> None:
    error = run("--db", database, "-c", "zoo", "--host", host, code=1).stderr
    assert "--host" in error
    assert not served


def test_what_is_not_there_is_an_error_with_a_way_out(database: Path, served: list[Any], tmp_path: Path) -> None:
    assert "resift index FOLDER" in run("--db", tmp_path / "nothing", code=1).stderr
    assert "no collection 'other'" in run("--db", database, "-c", "other", code=1).stderr
    assert "nothing/here" in run(tmp_path / "nothing/here", code=1).stderr
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "qrels.tsv").write_text("")
    assert "--judgements" in run("--db", database, "-c", "zoo", "--judgements", foreign, code=1).stderr
    error = run("--db", database, "-c", "zoo", "--judgements", foreign / "qrels.tsv", code=1).stderr
    assert "is a file: give a folder" in error
    assert not served


def test_a_folder_without_a_readable_file_is_said_plainly(served: list[Any], tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    error = run(tmp_path, "--embedder", "static", code=1).stderr
    assert "no passage could be made of the folder" in error
    assert "resift-playground-" not in error, "the name of a database that is not kept helps nobody"
    assert not served


def test_a_browser_is_opened_where_there_is_a_screen(
    database: Path, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = threading.Event()
    monkeypatch.setattr(command.webbrowser, "open", lambda address: opened.set())
    monkeypatch.setenv("DISPLAY", ":0")
    command.open_browser("http://127.0.0.1:1/")
    assert opened.wait(20)
    opened.clear()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setattr(sys, "platform", "linux")
    command.open_browser("http://127.0.0.1:1/")
    assert not opened.is_set()


@contextmanager
def process(*arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command, and give it with its address."""
    words = [sys.executable, "-m", "resift", "playground", "--port", "0", "--no-browser", *map(str, arguments)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env={**os.environ, **environment}, **pipes) as started:
        watchdog = threading.Timer(120, started.kill)
        watchdog.start()
        try:
            assert started.stdout is not None
            lines = iter(started.stdout.readline, "")
            yield started, next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        finally:
            watchdog.cancel()
            started.kill()


@pytest.mark.slow
def test_the_process_answers_and_ends_with_ctrl_c(database: Path, tmp_path: Path) -> None:
    with process("--db", database, "-c", "zoo", "--judgements", tmp_path / "marks") as (started, address):
        page = httpx.get(f"{address}/")
        assert "resift playground" in page.text
        body = {"query": "what eats bamboo?", "model": "resift:small"}
        found = httpx.post(f"{address}/api/search", json=body, headers={"Origin": address}, timeout=60)
        assert found.json()["hits"][0]["source"] == "pandas.md"
        assert httpx.post(f"{address}/api/search", json=body).status_code == 403
        started.send_signal(signal.SIGINT)
        assert started.wait(30) in (0, 130)
        assert started.stderr is not None
        assert "Traceback" not in started.stderr.read()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_database_that_is_not_kept_is_gone_whatever_ends_the_process(tmp_path: Path, number: signal.Signals) -> None:
    for name in ("files", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "files" / "pandas.md").write_text("Pandas eat bamboo.")
    here = {"TMPDIR": str(tmp_path / "temporary")}
    with process(tmp_path / "files", "--embedder", "static", "--judgements", tmp_path / "marks", **here) as (
        started,
        _,
    ):
        assert list((tmp_path / "temporary").glob("resift-playground-*"))
        started.send_signal(number)
        assert started.wait(30) == 128 + number
    assert not list((tmp_path / "temporary").glob("resift-playground-*"))
