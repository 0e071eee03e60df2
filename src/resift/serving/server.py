"""The service on a server of its own, uvicorn: what `resift serve` runs."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from types import FrameType

from resift._util.secret import ApiKey
from resift.errors import InputError, MissingExtraError
from resift.serving.in_flight import InFlight

try:
    import uvicorn
    from starlette.applications import Starlette
except ImportError as error:
    raise MissingExtraError("resift serve", "serve") from error

CANCEL_SECONDS = 1  # for requests that are still in flight at the end, to be told that they are cancelled


def open_socket(host: str, port: int, api_key: ApiKey | None, *, allow_no_key: bool = False) -> socket.socket:
    """Return a listening socket.

    Args:
        host: An address or name of this machine.
        port: A port; 0 takes any that is free.
        api_key: The key that requests must have.
        allow_no_key: Listen on an address that other machines reach although there is no key.

    Raises:
        InputError: The address is no address of this machine, or taken, or reachable from elsewhere without a key.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if api_key is None and not allow_no_key and not all(_is_loopback(info[4][0]) for info in found):
            raise InputError(
                f"other machines can reach {host}, and without a key anybody could use the service: give "
                "--api-key-file, or --allow-no-key where something else protects it"
            )
        return socket.create_server((host, port), family=found[0][0], backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:  # the last: a name that no host can have
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "another program listens there already; give another --port"
        raise InputError(f"can't listen on {host} port {port}: {reason}") from None


def run(app: Starlette, listening: socket.socket, *, drain_seconds: float) -> None:
    """Serve until SIGTERM or SIGINT. Then new requests get 503, and those in flight are finished.

    Args:
        app: The application.
        listening: A listening socket. It is closed at the end.
        drain_seconds: How long to wait for requests in flight; then they are cancelled. So does a second signal.
    """
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=CANCEL_SECONDS
    )
    _DrainingServer(config, app.state.in_flight, drain_seconds).run(sockets=[listening])


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


def _is_loopback(address: str | int) -> bool:
    """Return whether only this machine reaches the address."""
    return ipaddress.ip_address(str(address).partition("%")[0]).is_loopback
