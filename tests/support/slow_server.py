"""A server on this machine that takes as long as a client lets it: it drips bytes, stops halfway, says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SECONDS_BETWEEN_BYTES = 0.1
LONGEST_SECONDS = 6.0
"""After so long the server hangs up, so that a client without a clock of its own fails its test and doesn't hang it."""

ANSWER = b'{"results": [{"index": 0, "relevance_score": 0.5}]}'
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)

Behaviour = Callable[[socket.socket, threading.Event], None]


def says_nothing(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    end.wait(LONGEST_SECONDS)


def reads_nothing(connection: socket.socket, end: threading.Event) -> None:
    end.wait(LONGEST_SECONDS)


def reads_a_little(connection: socket.socket, end: threading.Event) -> None:
    for _ in range(round(LONGEST_SECONDS / SECONDS_BETWEEN_BYTES)):
        connection.recv(65_536)
        if end.wait(SECONDS_BETWEEN_BYTES):
            break


def drips_headers(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    _drip(connection, b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1000, end)


def drips_hints(connection: socket.socket, end: threading.Event) -> None:
    """Send one early hint after the other, each of which is a whole response to an HTTP library."""
    _read_request(connection)
    for _ in range(round(LONGEST_SECONDS / SECONDS_BETWEEN_BYTES)):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        if end.wait(SECONDS_BETWEEN_BYTES):
            break


def drips_the_body(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    connection.sendall(HEADERS)
    _drip(connection, ANSWER, end)


def drips_chunk_sizes(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    _drip(connection, b"0" * 15 + b"1;" + b"x" * 1000, end)


def stops_in_the_headers(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    connection.sendall(HEADERS[:30])
    end.wait(LONGEST_SECONDS)


def stops_in_the_body(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    connection.sendall(HEADERS + ANSWER[:-10])
    end.wait(LONGEST_SECONDS)


def drips_the_handshake(connection: socket.socket, end: threading.Event) -> None:
    """Begin a TLS record of 4,096 bytes and send one after the other. For an https:// address."""
    connection.recv(65_536)
    _drip(connection, b"\x16\x03\x03\x10\x00\x02" + b"\x00" * 1000, end)


def sends_without_end(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not end.is_set():
        connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")


def answers(connection: socket.socket, end: threading.Event) -> None:
    _read_request(connection)
    connection.sendall(HEADERS + ANSWER)


@contextmanager
def slow_server(*behaviours: Behaviour) -> Iterator[str]:
    """Run a server whose connections behave as said, in this order; the last one stands for all that follow.

    Yields its address, without a scheme. A behaviour that answers may be followed by another on the same connection.
    """
    end = threading.Event()
    left = list(behaviours)
    lock = threading.Lock()
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while True:
                with lock:
                    behaviour = left.pop(0) if len(left) > 1 else left[0]
                behaviour(connection, end)
                if behaviour is not answers:
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        end.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()


@contextmanager
def full_server() -> Iterator[str]:
    """Run a server whose queue of connections is full: connecting to it hangs. Linux only."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(server.getsockname())
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            for client in waiting:
                client.close()


def _read_request(connection: socket.socket) -> None:
    """Read a request to its end."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
    while len(body) < length:
        body += _receive(connection)


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionError("the client hung up")
    return received


def _drip(connection: socket.socket, content: bytes, end: threading.Event) -> None:
    for position in range(min(len(content), round(LONGEST_SECONDS / SECONDS_BETWEEN_BYTES))):
        connection.sendall(content[position : position + 1])
        if end.wait(SECONDS_BETWEEN_BYTES):
            break
