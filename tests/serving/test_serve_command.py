"""`resift serve` as a process of its own: it starts, needs its key, and ends only after what is in flight."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from resift.cli.app import app
from resift.serving import server

KEY = "sk-of-the-service"
BODY = {"query": "what eats bamboo?", "documents": ["Stocks fell.", "Pandas eat bamboo."]}
MANY = {
    "query": "what eats bamboo?",
    "documents": [f"Panda number {number} eats bamboo. " * 8 for number in range(300)],
}


def test_it_starts_answers_and_finishes_what_is_in_flight(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    command = [sys.executable, "-m", "resift", "serve", "--port", "0", "--api-key-file", str(tmp_path / "key")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"resift:small answers on (http://127\.0\.0\.1:\d+)\n", line)
            assert found, line
            with (
                httpx.Client(base_url=found[1], headers={"Authorization": f"Bearer {KEY}"}, timeout=100) as http,
                ThreadPoolExecutor(1) as pool,
            ):
                assert http.get("/health").status_code == 200
                assert httpx.post(f"{found[1]}/v2/rerank", json=BODY).status_code == 401
                assert http.post("/v2/rerank", json=BODY).json()["results"][0]["index"] == 1
                running = pool.submit(http.post, "/v2/rerank", json=MANY)
                while "resift_requests_in_flight 1.0" not in http.get("/metrics").text:
                    time.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                statuses = set()
                while 503 not in statuses and not running.done():
                    statuses.add(httpx.get(f"{found[1]}/health").status_code)
                assert statuses <= {200, 503}
                assert 503 in statuses
                assert len(running.result().json()["results"]) == 300
            assert process.wait(60) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        finally:
            watchdog.cancel()
            process.kill()


def refusal(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_what_it_refuses_to_start_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESIFT_API_KEY", raising=False)
    for host in ("0.0.0.0", "::"):
        assert "anybody could use the service: give --api-key-file, or --allow-no-key" in refusal("--host", host)
    for host in ("no.such.host.invalid", "[::1]", "a" * 70):  # no address at all, so nobody reaches it
        assert f"can't listen on {host} port 8080" in refusal("--host", host)
        assert f"can't listen on {host} port 8080" in refusal("--host", host, "--allow-no-key")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}: another program listens there already" in refusal("--port", port)
    (tmp_path / "key").write_text("two words")
    assert "the API key has characters" in refusal("--api-key-file", str(tmp_path / "key"))
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    assert "it is no text" in refusal("--api-key-file", str(tmp_path / "key"))
    assert "No such file" in refusal("--api-key-file", str(tmp_path / "none"))
    assert "no-such-model" in refusal("--port", "0", "--model", "resift:no-such-model")


def test_a_public_host_is_fine_with_a_key_or_when_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr(server, "run", lambda app, listening, **_: served.append(listening.getsockname()[0]))
    monkeypatch.setenv("RESIFT_API_KEY", KEY)
    assert CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "--port", "0"]).exit_code == 0
    monkeypatch.delenv("RESIFT_API_KEY")
    assert CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "--port", "0", "--allow-no-key"]).exit_code == 0
    assert served == ["0.0.0.0", "0.0.0.0"]
