"""Things used last, within a bound: what was not used for longest goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from resift._util.fork import renewed_in_children

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """At most `limit`, counted by `size`; what alone is larger is not kept at all. Any thread may use it, and so may a
    forked child. Nobody may write into what it gives.
    """

    def __init__(self, limit: int, size: Callable[[K, V], int] = lambda _key, _value: 1) -> None:
        self.limit = limit
        self.held = 0
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """A thread that held the lock is not there in a forked child. What is kept stays."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, keys: Iterable[K]) -> dict[K, V]:
        """What there is of these keys, which counts as use."""
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
        return found

    def put(self, entries: Mapping[K, V]) -> None:
        """Keeps these, the last of them longest."""
        with self._lock:
            for key, value in entries.items():
                if key in self._kept:
                    self.held -= self._size(key, self._kept.pop(key))
                size = self._size(key, value)
                if size <= self.limit:
                    self._kept[key] = value
                    self.held += size
            while self.held > self.limit:
                self.held -= self._size(*self._kept.popitem(last=False))

    def find(self, keys: Sequence[K], make: Callable[[list[K]], Sequence[V]]) -> list[V]:
        """A value for each key: what there is, and what `make` makes of those that are missing, each once."""
        found = self.get(keys)
        if missing := [key for key in dict.fromkeys(keys) if key not in found]:
            fresh = dict(zip(missing, make(missing), strict=True))
            self.put(fresh)
            found |= fresh
        return [found[key] for key in keys]
