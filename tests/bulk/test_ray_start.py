"""Ray that can't start: one clear line, within seconds."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import bulk_rows
import pytest
from bulk_rows import write
from pytest_socket import enable_socket
from typer.testing import CliRunner

from resift.cli.app import app

Behaviour = Callable[[socket.socket], None]


def hang_up(connection: socket.socket) -> None:
    connection.close()


def answer_http(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def stay_silent(connection: socket.socket) -> None:
    connection.settimeout(30)
    while connection.recv(100):  # until who asks hangs up
        pass


@pytest.fixture
def listen() -> Iterator[Callable[[Behaviour | None], int]]:
    """Start a listener that does this with every connection (None: it refuses them), and return its port."""
    enable_socket()
    servers: list[socket.socket] = []

    def start(behaviour: Behaviour | None) -> int:
        server = socket.socket()
        server.bind(("127.0.0.1", 0))  # and kept, so that nobody else gets the port
        servers.append(server)
        port = int(server.getsockname()[1])
        if behaviour is None:
            return port
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                threading.Thread(target=behave, args=[connection], daemon=True).start()

        def behave(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                behaviour(connection)

        threading.Thread(target=serve, daemon=True).start()
        return port

    yield start
    for server in servers:
        server.close()


def score(folder: Path, address: str) -> tuple[int, str]:
    """The exit code and standard error of the command in a process of its own, as a user starts it."""
    write(folder / "in.jsonl", bulk_rows.rows())
    result = subprocess.run(
        [sys.executable, "-m", "resift", "score", "in.jsonl", "out.jsonl", "--engine", "ray"],
        cwd=folder,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert not (folder / "out.jsonl").exists()
    return result.returncode, result.stderr


def check_line(error: str, address: str, problem: str) -> None:
    assert error.count("\n") == 1, error
    assert error.startswith(f"resift: no Ray cluster answers at RAY_ADDRESS={address} (")
    assert re.search(problem, error)
    assert error.endswith("; start one there (ray start --head), or unset RAY_ADDRESS to use this machine\n")


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (None, "refused"),
        (hang_up, "is no Ray|reset"),
        (answer_http, "is no Ray"),
        (stay_silent, "no answer within 0.3 s"),
    ],
)
def test_an_address_where_no_ray_is(
    tmp_path: Path,
    listen: Callable[[Behaviour | None], int],
    monkeypatch: pytest.MonkeyPatch,
    behaviour: Behaviour | None,
    problem: str,
    scheme: str,
) -> None:
    from resift.bulk import ray_data

    monkeypatch.setattr(ray_data, "SECONDS_TO_ANSWER", 0.3 if behaviour is stay_silent else 30)
    address = f"{scheme}127.0.0.1:{listen(behaviour)}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # or the command sets it for good
    write(tmp_path / "in.jsonl", bulk_rows.rows())
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["score", "in.jsonl", "out.jsonl", "--engine", "ray"], catch_exceptions=False)
    assert result.exit_code == 1
    check_line(result.stderr, address, problem)
    assert not (tmp_path / "out.jsonl").exists()


def test_in_a_process_of_its_own(tmp_path: Path, listen: Callable[[Behaviour | None], int]) -> None:
    """Nothing that Ray writes by itself is beside the line."""
    code, error = score(tmp_path, address := f"127.0.0.1:{listen(None)}")
    assert code == 1
    check_line(error, address, "refused")


def test_an_address_that_is_none(tmp_path: Path) -> None:
    code, error = score(tmp_path, "garbage")
    assert (code, error.count("\n")) == (1, 1), error
    assert "Ray can't start at RAY_ADDRESS=garbage: ValueError: Invalid address format: garbage" in error
