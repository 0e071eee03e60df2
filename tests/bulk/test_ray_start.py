"""Ray that can't start: one clear line, within seconds."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bulk_rows
import pytest
from bulk_rows import write
from pytest_socket import enable_socket

Behaviour = Callable[[socket.socket], None]


def hang_up(connection: socket.socket) -> None:
    connection.close()


def answer_http(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def stay_silent(connection: socket.socket) -> None:
    time.sleep(30)


@pytest.fixture
def listen() -> Iterator[Callable[[Behaviour | None], int]]:
    """Start a listener that does this with every connection (None: that is gone again), and return its port."""
    enable_socket()
    servers: list[socket.socket] = []

    def start(behaviour: Behaviour | None) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        port = int(server.getsockname()[1])
        if behaviour is None:
            server.close()
            return port
        servers.append(server)

        def serve() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                threading.Thread(target=behaviour, args=[connection], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        return port

    yield start
    for server in servers:
        server.close()


def score(folder: Path, **environment: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    write(folder / "in.jsonl", bulk_rows.rows())
    command = [sys.executable, "-m", "resift", "score", "in.jsonl", "out.jsonl", "--engine", "ray"]
    started = time.perf_counter()
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "RAY_AUTH_MODE": "disabled", **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return time.perf_counter() - started, result


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (None, "refused"),
        (hang_up, "is no Ray|reset"),
        (answer_http, "is no Ray"),
        pytest.param(stay_silent, "no answer within 10 s", marks=pytest.mark.slow),
    ],
)
def test_an_address_where_no_ray_is(
    tmp_path: Path, listen: Callable[[Behaviour | None], int], behaviour: Behaviour | None, problem: str
) -> None:
    addresses = [f"{scheme}127.0.0.1:{listen(behaviour)}" for scheme in ("", "ray://")]
    folders = [tmp_path / "plain", tmp_path / "client"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:  # side by side: most of the time is waiting
        outcomes = list(pool.map(lambda address, folder: score(folder, RAY_ADDRESS=address), addresses, folders))
    for address, folder, (seconds, result) in zip(addresses, folders, outcomes, strict=True):
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1, result.stderr
        assert result.stderr.startswith(f"resift: no Ray cluster answers at RAY_ADDRESS={address} (")
        assert re.search(problem, result.stderr)
        assert result.stderr.endswith(
            "; start one there (ray start --head), or unset RAY_ADDRESS to use this machine\n"
        )
        assert seconds < 60  # most of it is the import of Ray on a busy machine
        assert not (folder / "out.jsonl").exists()


def test_an_address_that_is_none(tmp_path: Path) -> None:
    _, result = score(tmp_path, RAY_ADDRESS="garbage")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert "Ray can't start at RAY_ADDRESS=garbage: ValueError: Invalid address format: garbage" in result.stderr
