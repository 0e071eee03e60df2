"""The check of a server's URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from resift.errors import InputError


def check_url(url: str) -> str:
    """Return the URL without a slash at its end.

    Raises InputError for a URL that can't be a server's. Errors show no more of it than its host: it may hold a
    password.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"{without_secrets(url)} is no URL of a server: it should look like http://HOST:PORT")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"{without_secrets(url)}: a URL with a user, a password or a query can't be used, since it is shown in "
            "results and errors: give the key as api_key="
        )
    return url.rstrip("/")


def without_secrets(url: str) -> str:
    """Return as much of a URL as an error may show: its scheme and host, never a password or a query."""
    scheme, _, rest = url.partition("://")
    host = rest.split("/")[0].split("?")[0].split("#")[0].rpartition("@")[2]
    return f"{scheme}://{host}" if rest else repr(url.split("@")[-1].split("?")[0])
