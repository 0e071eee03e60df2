"""The service on a server of its own, uvicorn: what `resift serve` runs."""

from __future__ import annotations

import asyncio
import socket
import time
from types import FrameType

from resift.errors import MissingExtraError
from resift.serving.in_flight import InFlight
from resift.serving.limits import UPLOAD_SECONDS

try:
    import h11  # uvicorn brings it
    import uvicorn
    from starlette.applications import Starlette
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise MissingExtraError("resift serve", "serve") from error

GRACE_SECONDS = 2.0  # after which a connection is closed: the application answers a slow body itself, with a reason
CANCEL_SECONDS = 1  # for requests that are still in flight at the end, to be told that they are cancelled


def run(
    app: Starlette, listening: socket.socket, *, drain_seconds: float, upload_seconds: float = UPLOAD_SECONDS
) -> None:
    """Serve until SIGTERM or SIGINT. Then new requests get 503, and those in flight are finished.

    Args:
        app: The application.
        listening: A listening socket. It is closed at the end.
        drain_seconds: How long to wait for requests in flight; then they are cancelled. So does a second signal.
        upload_seconds: How long a client may take to send a request; a connection that takes longer is closed.
    """
    make_server(app, drain_seconds=drain_seconds, upload_seconds=upload_seconds).run(sockets=[listening])


def make_server(app: Starlette, *, drain_seconds: float, upload_seconds: float) -> uvicorn.Server:
    """Return the server of `run`."""

    class Protocol(BoundedProtocol):
        seconds = upload_seconds + GRACE_SECONDS

    config = uvicorn.Config(
        app,
        http=Protocol,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=CANCEL_SECONDS,
    )
    return _DrainingServer(config, app.state.in_flight, drain_seconds)


class BoundedProtocol(H11Protocol):
    """A connection on which a request must be there, headers and body, so many `seconds` after its first byte.

    A connection on which nothing comes has the same time, and so has a client to read what was sent. uvicorn itself
    waits for ever, as long as a byte comes now and then, or where nobody reads.
    """

    seconds: float
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to watch."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that `pause_writing` tells of every byte that isn't taken
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read what comes, and watch whether the request is there."""
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._stop_watching()  # a request begins
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._stop_waiting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_watching()
        self._stop_waiting()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: some clients offer HTTP/2 with every request, and uvicorn would ask for a WebSocket library."""

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.transport.close()


class _DrainingServer(uvicorn.Server):
    """Ends at a signal only after the requests in flight."""

    def __init__(self, config: uvicorn.Config, in_flight: InFlight, drain_seconds: float) -> None:
        super().__init__(config)
        self._in_flight = in_flight
        self._drain_seconds = drain_seconds
        self._end = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn gives both
        if self._in_flight.stopping:  # a second signal
            self.should_exit = True
            return
        self._in_flight.stopping = True
        self._end = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        if self._in_flight.stopping and (not self._in_flight.count or time.monotonic() >= self._end):
            self.should_exit = True
        return await super().on_tick(counter)
