"""A real HTTP server on this machine that answers, and fails, as an endpoint of chat completions does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """An answer of the server."""

    status: int = 200
    """0: the connection is closed without an answer."""
    body: Any = None
    retry_after: str | None = None
    wait: threading.Event | None = None
    """The answer is sent once this is set."""


def completion(text: str | None, usage: dict[str, int] | None = None) -> Reply:
    message = {"role": "assistant", "content": text}
    return Reply(body={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})


class ChatServer:
    """The requests that the server got, and its URL."""

    def __init__(self, reply: Callable[[dict[str, Any]], Reply]) -> None:
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.open_requests = 0
        self.most_open_requests = 0
        self.lock = threading.Lock()
        self.url = ""


@contextmanager
def serving(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[ChatServer]:
    """Run a server inside the `with` block; `reply` makes the answer from a request's body."""
    state = ChatServer(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.requests.append(body)
                state.headers.append({name.lower(): value for name, value in self.headers.items()})
                state.paths.append(self.path)
                state.open_requests += 1
                state.most_open_requests = max(state.most_open_requests, state.open_requests)
            answer = state.reply(body)
            if answer.wait is not None:
                answer.wait.wait(10)
            with state.lock:
                state.open_requests -= 1
            if answer.status == 0:  # close without an answer
                self.close_connection = True
                return
            data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            try:
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(data)))
                if answer.retry_after is not None:
                    self.send_header("Retry-After", answer.retry_after)
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # the client has gone

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
