"""The socket of the service, opened before anything else: a wrong address should not cost the load of a model."""

from __future__ import annotations

import errno
import ipaddress
import socket

from resift._util.secret import ApiKey
from resift.errors import InputError


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


def _is_loopback(address: str | int) -> bool:
    """Return whether only this machine reaches the address."""
    return ipaddress.ip_address(str(address).partition("%")[0]).is_loopback
