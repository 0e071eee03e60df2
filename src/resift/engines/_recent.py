"""What was made of things that come again, within a bound; what was not used for longest goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `limit`, counted by `size`. Safe from any thread; nobody may write into what it gives."""

    def __init__(self, limit: int, size: Callable[[K, V], int] = lambda _key, _value: 1) -> None:
        self.limit = limit
        self.held = 0
        self._size = size
        self._known: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, keys: Sequence[K], make: Callable[[list[K]], Sequence[V]]) -> list[V]:
        """A value for each key: what is known, and what `make` makes of those that are not, each once."""
        with self._lock:
            found = {key: self._known[key] for key in keys if key in self._known}
            for key in found:
                self._known.move_to_end(key)
        new = [key for key in dict.fromkeys(keys) if key not in found]
        fresh = dict(zip(new, make(new), strict=True)) if new else {}
        with self._lock:
            for key, value in fresh.items():
                if key not in self._known:
                    self._known[key] = value
                    self.held += self._size(key, value)
            while self.held > self.limit:
                self.held -= self._size(*self._known.popitem(last=False))
        found |= fresh
        return [found[key] for key in keys]
