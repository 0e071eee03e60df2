"""Who may talk to the playground: this machine's own browser, on the playground's own page, and nobody else.

A page of another site can send requests to a port of this machine. By DNS rebinding it can also read the answers: its
own name then leads to 127.0.0.1, and only the Host header says so.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

THIS_MACHINE = re.compile(r"(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # a text can't become HTML, in browsers that know it
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
READS = ("GET", "HEAD")


class Guard:
    """ASGI middleware that refuses foreign requests with 403, and sends the headers that bind a browser.

    The Host header must name this machine; a request that changes something must have the Origin of the page itself.

    Args:
        app: What is guarded.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", ())}
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                added = [(name, value) for name, value in extra if name not in given]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        if reason := refusal(scope["method"], scope["headers"]):
            await _answer(403, reason, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def refusal(method: str, headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return why a request is refused; None if it isn't.

    >>> refusal("GET", [(b"host", b"evil.example")])
    "the playground answers to this machine's own names, such as 127.0.0.1, and not to 'evil.example'"
    >>> refusal("POST", [(b"host", b"127.0.0.1:8765"), (b"origin", b"http://127.0.0.1:8765")])
    """
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not THIS_MACHINE.fullmatch(hosts[0]):
        named = " and ".join(repr(host[:100]) for host in hosts) or "a request without Host"
        return f"the playground answers to this machine's own names, such as 127.0.0.1, and not to {named}"
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    own = f"http://{hosts[0]}".lower()
    if any(origin.lower() != own for origin in origins) or (method not in READS and len(origins) != 1):
        named = " and ".join(repr(origin[:100]) for origin in origins) or "a request without Origin"
        return f"the playground takes requests from its own page alone, not from {named}"
    return None


async def _answer(status: int, reason: str, send: Send) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
