"""The LRU cache after a fork."""

from __future__ import annotations

import os
import signal

import pytest

from resift._util.lru import LRUCache


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_wait_for_a_lock_that_another_thread_of_its_parent_held() -> None:
    cache: LRUCache[str, int] = LRUCache(4)
    cache.put({"a": 1})
    with cache._lock:
        child = os.fork()
        if child == 0:  # here the lock is held by a thread that does not exist
            signal.alarm(5)
            os._exit(cache.get_or_compute(["a", "b"], lambda _: [2]) != [1, 2])
    assert os.waitpid(child, 0)[1] == 0
