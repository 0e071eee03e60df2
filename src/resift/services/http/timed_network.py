"""Connections whose reads and writes end at one point in time, for httpx's blocking client.

httpx's timeouts are for each read and each write: a server that sends a byte every second never reaches them. Here
every operation gets the time that is left until the end of the request that this thread is working on.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from math import inf
from typing import Any

import httpcore
import httpx

BYTES_PER_WRITE = 16_384
"""One TLS record. The time left is looked up before each."""

_end: ContextVar[float] = ContextVar("end of the request", default=inf)
"""When the request of this thread must be over, on `time.monotonic`. Blocking httpx does all its work in the caller's
thread, so one connection can serve many threads, and a forked child has nothing to repair."""


@contextmanager
def ends_at(end: float) -> Iterator[None]:
    """End every read, write and connect of this thread at `end`, a time on `time.monotonic`."""
    token = _end.set(end)
    try:
        yield
    finally:
        _end.reset(token)


def limit_time(client: httpx.Client) -> None:
    """Make the client open connections that `ends_at` can end, to servers and to proxies."""
    # httpx has no argument for a network backend, and a transport of our own would ignore HTTPS_PROXY and NO_PROXY.
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = TimedBackend()


class TimedBackend(httpcore.NetworkBackend):
    """Opens connections that end with the request."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers. `timeout` is for all addresses together."""
        connect_end = time.monotonic() + (inf if timeout is None else timeout)
        options = list(socket_options or ())
        with ends_at(min(_end.get(), connect_end)):
            addresses = _resolve(host, port, _time_left(None, httpcore.ConnectTimeout))
            for addresses_left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
                seconds_left = _time_left(None, httpcore.ConnectTimeout)
                seconds = None if seconds_left is None else seconds_left / addresses_left
                try:
                    stream = httpcore.SyncBackend().connect_tcp(address, port, seconds, local_address, options)
                    return TimedStream(stream)
                except (httpcore.ConnectError, httpcore.ConnectTimeout):
                    if addresses_left == 1:
                        raise
        raise httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        """Connect to a socket of this machine."""
        seconds = _time_left(timeout, httpcore.ConnectTimeout)
        return TimedStream(httpcore.SyncBackend().connect_unix_socket(path, seconds, socket_options))


class TimedStream(httpcore.NetworkStream):
    """A connection whose operations end with the request."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes that are there, once there are some."""
        return self._stream.read(max_bytes, _time_left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all bytes."""
        for start in range(0, len(buffer), BYTES_PER_WRITE):
            piece = buffer[start : start + BYTES_PER_WRITE]
            self._stream.write(piece, _time_left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the encrypted connection."""
        seconds = _time_left(timeout, httpcore.ConnectTimeout)
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection knows of itself, such as its socket."""
        return self._stream.get_extra_info(info)


def _time_left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """Return `timeout`, or the seconds left to the request where they are fewer. Raises `error` where none is left."""
    seconds_left = _end.get() - time.monotonic()
    if seconds_left <= 0:
        raise error("timed out")
    seconds = min(seconds_left, inf if timeout is None else timeout)
    return None if seconds == inf else seconds


def _resolve(host: str, port: int, timeout: float | None) -> list[str]:
    """Return the addresses of `host`. Raises httpcore.ConnectError or httpcore.ConnectTimeout."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    found: list[str] | OSError = []

    def look_up() -> None:
        nonlocal found
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(address[4][0]) for address in addresses))
        except (OSError, UnicodeError) as error:
            found = OSError(str(error))

    # The system's look-up takes no timeout, so it gets a thread, which ends when the system gives up.
    thread = threading.Thread(target=look_up, name="resift-resolve", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise httpcore.ConnectTimeout("timed out")
    if isinstance(found, OSError):
        raise httpcore.ConnectError(str(found))
    return found
