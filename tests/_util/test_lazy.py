"""What loads on first use is made once, off the event loop, whoever asks and whoever gives up."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest

from resift.adapters import Lazy


def test_many_threads_make_a_value_once() -> None:
    made = []
    barrier = threading.Barrier(8)
    values = []

    def make() -> object:
        made.append(1)
        return object()

    lazy = Lazy(make)

    def ask() -> None:
        barrier.wait()
        values.append(lazy.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(values), len(set(map(id, values)))) == (1, 8, 1)


async def test_a_failure_reaches_all_who_wait_and_is_tried_again() -> None:
    answers: list[Any] = [OSError("disk"), "value"]

    release = threading.Event()

    def make() -> str:
        release.wait(10)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    lazy = Lazy(make)
    tasks = [asyncio.create_task(lazy.aget()) for _ in range(2)]
    await asyncio.sleep(0)
    release.set()
    waiting = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in waiting] == ["disk", "disk"]
    assert await lazy.aget() == "value"
    assert lazy.get() == "value"


async def test_giving_up_on_the_first_load_takes_it_from_nobody() -> None:
    release = threading.Event()
    lazy = Lazy(lambda: release.wait(10))
    impatient, patient = asyncio.create_task(lazy.aget()), asyncio.create_task(lazy.aget())
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    release.set()
    assert await patient is True


def test_pickling_leaves_the_value_behind() -> None:
    lazy = Lazy(list)
    assert lazy.get() is lazy.get()
    again = pickle.loads(pickle.dumps(lazy))
    assert again.get() is not lazy.get()
