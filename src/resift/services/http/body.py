"""The body of a response, unpacked while it arrives, and no longer than a right answer can be."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

MAX_BYTES = 2 * 2**20
MAX_BYTES_PER_REQUEST_BYTE = 8
"""A body may have MAX_BYTES, and so many bytes more for each byte of its request.

A right answer is a list of indices and scores: 100 kB for 1,000 documents. vLLM repeats the documents in it, which
JSON's escapes make three times as long. A limit is needed since 300 kB of gzip can unpack to 300 MB, and since Python
reads JSON in one go, in which no other task and no other thread runs: 2 MiB of empty lists take 0.2 s.
"""
BYTES_PER_STEP = 2**18
"""Bytes that are unpacked before other tasks have a turn: under 1 ms."""
GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib's number for the gzip format


class BodyError(Exception):
    """A body that can't be used; the message says why."""

    def __init__(self, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class Body:
    """Collects a body piece by piece.

    Args:
        headers: The response's, with lower-case names.
        request_bytes: The length of the request's body.
    """

    def __init__(self, headers: Mapping[str, str], request_bytes: int) -> None:
        self.limit = MAX_BYTES + MAX_BYTES_PER_REQUEST_BYTE * request_bytes
        self._request_bytes = request_bytes
        self._encoding = headers.get("content-encoding", "").strip().lower()
        self._unpacker = zlib.decompressobj(GZIP_WINDOW) if self._encoding in ("gzip", "x-gzip") else None
        self._arrived = 0
        self._content = bytearray()

    @property
    def content(self) -> bytes:
        """What has been unpacked so far; never more than the limit."""
        return bytes(self._content)

    def add(self, data: bytes) -> Iterator[None]:
        """Add a piece as it arrived. Yields after each step, so that an event loop can run other tasks in between.

        Raises BodyError: too long, packed in a way that was not asked for, or damaged.
        """
        self._arrived += len(data)
        if self._unpacker is None:
            if self._encoding not in ("", "identity"):
                raise BodyError(f"an answer packed as {self._encoding:.50}, where gzip or nothing was asked for")
            self._extend(data)
        else:
            while data and not self._unpacker.eof:
                try:
                    self._extend(self._unpacker.decompress(data, BYTES_PER_STEP))
                except zlib.error as error:
                    raise BodyError(f"an answer that is no gzip, as it says it is: {error}") from None
                data = self._unpacker.unconsumed_tail
                yield
        if self._arrived > self.limit:
            raise self._too_long()

    def finish(self) -> bytes:
        """Return the whole content. Raises BodyError where gzip ends too early."""
        if self._unpacker is not None and self._arrived and not self._unpacker.eof:
            raise BodyError("an answer that ends too early", retry=True)
        return self.content

    def _extend(self, data: bytes) -> None:
        room = self.limit - len(self._content)
        self._content += data[:room]
        if len(data) > room:
            raise self._too_long()

    def _too_long(self) -> BodyError:
        return BodyError(
            f"an answer of more than {self.limit:,} bytes, the most that is read for a request of "
            f"{self._request_bytes:,}: is this the address of the service? If it is, send less in one request"
        )
