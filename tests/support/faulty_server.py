"""A server on this machine that answers as a rerank service does, or in one of many ways that none should."""

from __future__ import annotations

import gzip
import json
import random
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from rerank_server import PATHS

DRIP_SECONDS = 0.05
DRIP_BYTES = 200  # 10 seconds: longer than every client here waits
UNPACKED_BYTES = 24 << 20

Connection = socket.socket
Fault = Callable[["FaultyServer", Connection, bytes, random.Random], None]
"""What is done with a connection, the right body of an answer, and a source of random choices."""

ODD_DELAYS = [
    "", "0", "-5", "nan", "inf", "1e400", "0.01", "9" * 400, "99999999999", "tomorrow", "0x10", "1;2",
    "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 99 Foo 10000 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
    "\u0661".encode().decode("latin-1"),
]  # fmt: skip
BAD_BODIES = [
    b"", b"{", b"null", b"[]", b"7", b'"text"', b"<html>gone</html>", b"[" * 5000, b"\xff\xfe\x00", b"{}" * 2,
    b'{"results": null}', b'{"results": {}}', b'{"results": []}', b'{"results": [1, null, "a"]}',
    b'{"results": [{"index": 0, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.5}]}',
    b'{"results": [{"index": 1e400, "relevance_score": 0.5}]}',
    b'{"results": [{"index": -1, "relevance_score": 0.5}]}',
    b'{"results": [{"index": 0, "relevance_score": NaN}]}',
    b'{"results": [{"index": 0, "relevance_score": 1' + b"0" * 5000 + b"}]}",
    b'{"results": [{"index": 0, "relevance_score": "0.5"}]}',
    b'{"message": "\\ud800 \\u0000 \\n\\n\\u001b[31m"}',
]  # fmt: skip


def send(connection: Connection, status: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def drip(server: FaultyServer, connection: Connection, content: bytes) -> None:
    for position in range(min(len(content), DRIP_BYTES)):
        connection.sendall(content[position : position + 1])
        if server.end.wait(DRIP_SECONDS):
            break


def right(_: FaultyServer, connection: Connection, body: bytes, draw: random.Random) -> None:
    if draw.random() < 0.3:
        send(connection, "200 OK", gzip.compress(body), {"Content-Encoding": "gzip"})
    else:
        send(connection, "200 OK", body)


def drips_headers(server: FaultyServer, connection: Connection, _: bytes, __: random.Random) -> None:
    drip(server, connection, b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1000)


def drips_body(server: FaultyServer, connection: Connection, body: bytes, _: random.Random) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) + 1000))
    drip(server, connection, body + b" " * 1000)


def drips_hints(server: FaultyServer, connection: Connection, _: bytes, __: random.Random) -> None:
    while not server.end.wait(DRIP_SECONDS):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def says_nothing(server: FaultyServer, _: Connection, __: bytes, ___: random.Random) -> None:
    server.end.wait(DRIP_SECONDS * DRIP_BYTES)


def cut(_: FaultyServer, connection: Connection, body: bytes, draw: random.Random) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    connection.sendall(whole[: draw.randrange(len(whole))])


def resets(_: FaultyServer, connection: Connection, body: bytes, draw: random.Random) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n"[: draw.randrange(17)])
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wrong_body(_: FaultyServer, connection: Connection, __: bytes, draw: random.Random) -> None:
    send(connection, "200 OK", draw.choice(BAD_BODIES))


def damaged_body(_: FaultyServer, connection: Connection, body: bytes, draw: random.Random) -> None:
    """Take a byte of the right body away from where JSON needs it: its first."""
    send(connection, "200 OK", body[1:])


def busy(_: FaultyServer, connection: Connection, __: bytes, draw: random.Random) -> None:
    name = draw.choice(["Retry-After", "Retry-After-Ms", "X-RateLimit-Reset"])
    send(connection, draw.choice(["429 Busy", "503 Busy"]), b'{"message": "busy"}', {name: draw.choice(ODD_DELAYS)})


def fails(server: FaultyServer, connection: Connection, __: bytes, draw: random.Random) -> None:
    status = draw.choice(["400", "401", "402", "403", "404", "413", "418", "422", "500", "502", "504", "599"])
    quoted = json.dumps({"message": f"no, not with Bearer {server.key}"}).encode()
    send(connection, f"{status} No", draw.choice([quoted, f"<p>{server.key}</p>".encode(), b"", b"\0" * 3000]))


def redirects(server: FaultyServer, connection: Connection, __: bytes, draw: random.Random) -> None:
    address = draw.choice([f"http://{server.elsewhere}/v1/rerank", f"//{server.elsewhere}", "javascript:0", "", "\t"])
    send(connection, f"{draw.choice([301, 302, 303, 307, 308])} Elsewhere", b"", {"Location": address})


def odd_status(_: FaultyServer, connection: Connection, body: bytes, draw: random.Random) -> None:
    lines = [b"HTTP/1.1 abc OK", b"HTTP/9.9 200 OK", b"garbage", b"\0\0\0", b"HTTP/1.1 000 Zero", b"HTTP/1.1 99 Low"]
    connection.sendall(draw.choice(lines) + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def odd_headers(_: FaultyServer, connection: Connection, body: bytes, draw: random.Random) -> None:
    lines = [
        b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 1, 2", b"no colon",
        b"X: " + b"a" * 200_000, b"Transfer-Encoding: chunked", b"Content-Encoding: br", b"Set-Cookie: \xff=\xfe",
    ]  # fmt: skip
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + draw.choice(lines) + b"\r\n\r\n" + body)


def huge(server: FaultyServer, connection: Connection, _: bytes, draw: random.Random) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(UNPACKED_BYTES >> 16):
        connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")


def unpacks_to_much(server: FaultyServer, connection: Connection, _: bytes, draw: random.Random) -> None:
    send(connection, "200 OK", server.packed, {"Content-Encoding": "gzip"})


def damaged_gzip(_: FaultyServer, connection: Connection, body: bytes, draw: random.Random) -> None:
    packed = bytearray(gzip.compress(body))
    packed = packed[: draw.randrange(len(packed))] if draw.random() < 0.5 else packed[:12] + b"\xff" * 9 + packed[21:]
    send(connection, "200 OK", bytes(packed), {"Content-Encoding": "gzip"})


FAULTS: list[Fault] = [
    drips_headers, drips_body, drips_hints, says_nothing, cut, resets, wrong_body, damaged_body, busy, fails, redirects,
    odd_status, odd_headers, huge, unpacks_to_much, damaged_gzip,
]  # fmt: skip


class FaultyServer:
    """Answers a request whose query ends with "case N" as the plan of N says, attempt by attempt; then rightly."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.plans: dict[int, tuple[str, list[Fault], random.Random]] = {}
        self.end = threading.Event()
        self.elsewhere = ""
        self.arrived_elsewhere: list[bytes] = []
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        self.packed = packer.compress(b" " * UNPACKED_BYTES) + packer.flush()
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[str]:
        """Yield the address."""
        with (
            socket.create_server(("127.0.0.1", 0), backlog=256) as server,
            socket.create_server(("127.0.0.1", 0)) as to,
        ):
            self.elsewhere = f"127.0.0.1:{to.getsockname()[1]}"
            for listening, serve in ((server, self._serve), (to, self._keep)):
                threading.Thread(target=self._accept, args=(listening, serve), daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.getsockname()[1]}"
            finally:
                self.end.set()
                for listening in (server, to):
                    with suppress(OSError):
                        listening.shutdown(socket.SHUT_RDWR)

    def _accept(self, server: Connection, serve: Callable[[Connection], None]) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def _keep(self, connection: Connection) -> None:
        with connection, suppress(OSError):
            connection.settimeout(2)
            self.arrived_elsewhere.append(connection.recv(65_536))

    def _serve(self, connection: Connection) -> None:
        with connection, suppress(OSError, ConnectionError):
            while True:
                body = read_body(connection)
                number = int(json.loads(body)["query"].rpartition(" ")[2])
                with self._lock:
                    scheme, faults, draw = self.plans[number]
                    fault = faults.pop(0) if faults else right
                answer: Any = PATHS[scheme][1](json.loads(body)).body
                fault(self, connection, json.dumps(answer).encode(), draw)
                if fault is not right:
                    return


def read_body(connection: Connection) -> bytes:
    """Read a request to its end and return its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    while len(body) < length:
        body += _receive(connection)
    return body


def _receive(connection: Connection) -> bytes:
    received = connection.recv(65_536)
    if not received:
        raise ConnectionError("the client hung up")
    return received
