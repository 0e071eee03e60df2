"""Helper threads make calls for their caller, who makes them itself where they can't."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from resift._util.helper_threads import HelperThreads

AFTER_MAIN = """
import threading
from resift._util.helper_threads import HelperThreads

def work():
    threading.main_thread().join()
    print([wait() for wait in [HelperThreads(2).submit(lambda: 7)]])

threading.Thread(target=work).start()
"""


def test_calls_are_made_once_by_several_threads_and_answered_in_any_order() -> None:
    both = threading.Barrier(2)  # passed only where two of them run at once
    calls: list[int] = []

    def call(number: int) -> int:
        if number < 2:
            both.wait(30)
        calls.append(number)
        return number * number

    helpers = HelperThreads(2)
    waits = [helpers.submit(lambda number=number: call(number)) for number in range(50)]  # type: ignore[misc]
    assert [wait() for wait in reversed(waits)] == [number * number for number in reversed(range(50))]
    assert sorted(calls) == list(range(50))


def test_errors_reach_whoever_asks_for_the_result() -> None:
    def fail() -> None:
        raise LookupError("in a thread")

    helpers = HelperThreads(1)
    waits: list[Callable[[], object]] = [helpers.submit(fail), helpers.submit(lambda: 1)]
    with pytest.raises(LookupError, match="in a thread"):
        waits[0]()
    assert waits[1]() == 1


def test_without_threads_the_caller_makes_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    helpers = HelperThreads(3)
    assert [helpers.submit(threading.get_ident)() for _ in range(3)] == [threading.get_ident()] * 3


def test_few_calls_wait_so_that_inputs_do_not_pile_up() -> None:
    go, most = threading.Event(), 0
    helpers = HelperThreads(1)
    waits = [helpers.submit(lambda: go.wait(30))]
    for _ in range(100):
        waits.append(helpers.submit(lambda: True))
        most = max(most, helpers._tasks.qsize())
    go.set()
    assert all(wait() for wait in waits)
    assert most <= 5


def test_threads_end_with_the_helpers_and_drop_what_nobody_waits_for() -> None:
    before = set(threading.enumerate())
    begun, go = threading.Event(), threading.Event()
    late: list[int] = []

    def hold() -> None:
        begun.set()
        go.wait(30)

    helpers = HelperThreads(2)
    helpers.submit(hold)
    helpers.submit(hold)
    helpers.submit(lambda: late.append(1))
    threads = set(threading.enumerate()) - before
    assert len(threads) == 2
    begun.wait(30)
    del helpers
    gc.collect()
    go.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_they_help_after_the_main_thread_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", AFTER_MAIN], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[7]\n", "")
