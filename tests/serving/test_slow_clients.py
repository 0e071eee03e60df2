"""Clients that send a request bit by bit, or never: no connection is held for ever, and no honest client is cut off."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

import httpx
import pytest
from service_over_http import listening

from resift._util.secret import ApiKey
from resift.serving import server
from resift.serving.asgi import ServiceOptions, application
from resift.serving.service import RerankService
from resift.testing import OverlapScorer

BODY = json.dumps({"query": "red fox", "documents": ["a whale", "a red fox"], "texts": ["a whale"]}).encode()
MESSAGE = {"/v2/rerank": "message", "/v1/rerank": "detail", "/rerank": "error"}


class SlowAtFirst(OverlapScorer):
    """Its first answer takes longer than a client may take to send a request."""

    seconds = 1.0

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        time.sleep(self.seconds)
        SlowAtFirst.seconds = 0.0
        return super().score(query, documents)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "GRACE_SECONDS", 0.1)
        with listening(RerankService(OverlapScorer()), upload_seconds=0.2) as url:
            yield url


def drip(url: str, *parts: bytes) -> bytes:
    """Send the parts, the last of them again and again; return what comes until the connection is closed."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        end = time.monotonic() + 60
        try:
            for part in parts:
                connection.sendall(part)
            while time.monotonic() < end and parts:
                connection.sendall(parts[-1])
                connection.settimeout(0.02)
                try:
                    if first := connection.recv(1):
                        break
                    return b""
                except TimeoutError:
                    continue
            else:
                first = b""
            connection.settimeout(60)
            answer = first
            while more := connection.recv(65536):
                answer += more
        except (ConnectionResetError, BrokenPipeError):  # it was closed while more came
            return b"reset"
        assert time.monotonic() < end
        return answer


def head(route: str, *more: str) -> bytes:
    lines = [f"POST {route} HTTP/1.1", "Host: x", f"Content-Length: {10 * len(BODY)}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("route", MESSAGE)
def test_a_body_that_comes_bit_by_bit_gets_408_in_the_format_of_its_route(served: str, route: str) -> None:
    # A client that goes on sending may see the connection end before it reads the answer.
    answer = next(answer for _ in range(50) if (answer := drip(served, head(route), b" ")) != b"reset")
    status, _, body = answer.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in status.lower()
    assert "came within 0.2 s, and not its end" in json.loads(body)[MESSAGE[route]]


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"P",),
        (b"POST /v2/rerank HTTP/1.1\r\nHost: x\r\n", b"X-More: 1\r\n"),
        (head("/no/route"), b" "),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_a_connection_on_which_no_request_gets_complete_is_closed(served: str, parts: tuple[bytes, ...]) -> None:
    answer = drip(served, *parts)
    assert answer in (b"", b"reset") or answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 404 ", b"HTTP/1.1 200 "))


def test_a_body_that_nobody_reads_is_not_waited_for() -> None:
    with listening(RerankService(OverlapScorer()), api_key=ApiKey("sk-of-the-service")) as url:
        answer = drip(url, head("/v2/rerank"), b" ")
        assert answer == b"reset" or answer.startswith(b"HTTP/1.1 401 ")


def test_a_client_that_does_not_read_its_answers_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE_SECONDS", 0.1)
    app = application(RerankService(OverlapScorer()), ServiceOptions())
    web = server.make_server(app, drain_seconds=0, upload_seconds=0.2)

    def wait_until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket() as reader:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # what is accepted has the same
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        thread = threading.Thread(target=web.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        try:
            reader.connect(port.getsockname())
            reader.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            wait_until(lambda: bool(web.server_state.connections))
            wait_until(lambda: not web.server_state.connections)
        finally:
            web.should_exit = True
            thread.join(20)


def test_an_offer_of_http_2_is_not_taken_and_nobody_is_told_to_install_websockets(
    served: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQ"}  # as Java's
    assert httpx.get(f"{served}/health", headers=headers).status_code == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_honest_clients_are_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def parts() -> Iterator[bytes]:
        for start in range(0, len(BODY), 30):
            yield BODY[start : start + 30]

    monkeypatch.setattr(server, "GRACE_SECONDS", 0.1)
    slow = listening(RerankService(SlowAtFirst()), upload_seconds=0.8)
    with slow as url, httpx.Client(base_url=url, timeout=60) as http:
        for pause in (0.7, 0):  # on one connection, whose pause doesn't count either
            assert http.post("/v2/rerank", content=parts()).json()["results"][0]["index"] == 1
            time.sleep(pause)
