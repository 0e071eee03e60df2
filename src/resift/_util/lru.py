"""A cache with a limit: the entries that were not used for longest are dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from resift._util.fork import renew_in_children

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRUCache(Generic[K, V]):
    """Entries of at most `limit` in all, as `size` counts them; an entry that is larger by itself is not held.

    Safe to use from any thread, and in a forked child. Callers must not change the values they get.
    """

    def __init__(self, limit: int, size: Callable[[K, V], int] = lambda _key, _value: 1) -> None:
        self.limit = limit
        self.held = 0
        """The sizes of all entries together."""
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Make a new lock: in a forked child, the thread that held the old one does not exist. Entries stay."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the entries of those `keys` that are there; they become the most recently used."""
        with self._lock:
            entries = {key: self._entries[key] for key in keys if key in self._entries}
            for key in entries:
                self._entries.move_to_end(key)
        return entries

    def put(self, entries: Mapping[K, V]) -> None:
        """Store these entries; the last of them becomes the most recently used."""
        with self._lock:
            for key, value in entries.items():
                if key in self._entries:
                    self.held -= self._size(key, self._entries.pop(key))
                size = self._size(key, value)
                if size <= self.limit:
                    self._entries[key] = value
                    self.held += size
            while self.held > self.limit:
                self.held -= self._size(*self._entries.popitem(last=False))

    def get_or_compute(self, keys: Sequence[K], compute: Callable[[list[K]], Sequence[V]]) -> list[V]:
        """Return a value for each key. Those that are missing are computed in one call, each once, and stored."""
        entries = self.get(keys)
        if missing := [key for key in dict.fromkeys(keys) if key not in entries]:
            computed = dict(zip(missing, compute(missing), strict=True))
            self.put(computed)
            entries |= computed
        return [entries[key] for key in keys]
