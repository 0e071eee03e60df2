"""Which requests are being answered, and whether the service still takes new ones."""

from __future__ import annotations

from types import TracebackType


class InFlight:
    """Counts requests while they are answered: `with in_flight: ...`. Used in the event loop alone."""

    def __init__(self) -> None:
        self.count = 0
        self.stopping = False
        """Whether new requests are refused: the server ends once those in flight are answered."""

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.count -= 1
