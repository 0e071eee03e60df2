"""A line of the user's warns once that documents were cut, whatever the counts, and from wherever it calls."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from cutting import LONG, CuttingScorer, shown_by_default

from resift import Reranker, TruncationWarning


@pytest.fixture(scope="module")
def reranker() -> Iterator[Reranker]:
    with Reranker(CuttingScorer()) as cutting:
        yield cutting


def line_of(text: str, function: Callable[..., object]) -> int:
    """Return the line of the function that has this text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if text in line)


def test_a_loop_warns_once_whatever_the_counts(reranker: Reranker) -> None:
    with shown_by_default(globals()) as caught:
        for count in range(1, 6):
            reranker.rank("q", ["abc", *[f"{LONG} {number}" for number in range(count)]])  # here
        reranker.rank("q", [LONG])
    assert [warning.category for warning in caught] == [TruncationWarning] * 2
    assert {warning.filename for warning in caught} == {__file__}
    assert caught[0].lineno == line_of("# here", test_a_loop_warns_once_whatever_the_counts)
    assert "long_documents='max_window'" in str(caught[0].message)


def test_many_queries_and_other_counts_warn_once(reranker: Reranker) -> None:
    with shown_by_default(globals()) as caught:
        for count in (1, 2, 3):
            reranker.rank_many(["q"] * count, [[LONG], ["abc"], [LONG]][:count])
    assert len(caught) == 1


async def test_awaited_calls_point_at_who_awaits(reranker: Reranker) -> None:
    async def ask(count: int) -> None:
        await reranker.arank("q", [LONG] * count)  # awaited

    with shown_by_default(globals()) as caught:
        await ask(1)
        await asyncio.create_task(ask(2))
        await asyncio.gather(ask(3), asyncio.wait_for(ask(4), 10))
    assert [(warning.filename, warning.lineno) for warning in caught] == [
        (__file__, line_of("# awaited", test_awaited_calls_point_at_who_awaits))
    ]


async def test_a_task_of_a_framework_points_at_who_awaits_the_task(reranker: Reranker) -> None:
    with shown_by_default(globals()) as caught:
        for _ in range(2):
            await asyncio.wait_for(asyncio.create_task(reranker.arank("q", [LONG])), 10)
            await asyncio.create_task(reranker.arank("q", [LONG]))
            async with asyncio.TaskGroup() as group:
                group.create_task(reranker.arank("q", [LONG]))
    assert len(caught) == 3
    assert {warning.filename for warning in caught} == {__file__}


def test_a_thread_points_at_what_it_runs(reranker: Reranker) -> None:
    def work() -> None:
        reranker.rank("q", [LONG])  # in a thread

    with shown_by_default(globals()) as caught:
        for thread in [threading.Thread(target=work) for _ in range(3)]:
            thread.start()
            thread.join()
    assert [(warning.filename, warning.lineno) for warning in caught] == [
        (__file__, line_of("# in a thread", test_a_thread_points_at_what_it_runs))
    ]


def test_a_pool_points_at_who_waits_for_it(reranker: Reranker) -> None:
    with ThreadPoolExecutor(2) as pool, shown_by_default(globals()) as caught:
        list(pool.map(partial(reranker.rank, "q"), [[LONG], [LONG, LONG]]))  # waits
    assert {warning.category for warning in caught} == {TruncationWarning}
    assert len(caught) <= 2  # one where the main thread waits; one nowhere if it had not come to wait


def test_code_without_a_file_is_pointed_at_too(reranker: Reranker) -> None:
    """Cells of a notebook, say: their lines are no lines of the module's file."""
    code = compile("\n" * 5000 + "reranker.rank('q', [text])", "<cell 7>", "exec")
    with shown_by_default(globals()) as caught:
        for count in (1, 2):
            exec(code, globals(), {"reranker": reranker, "text": LONG * count})
    assert [(warning.filename, warning.lineno) for warning in caught] == [("<cell 7>", 5001)]


def test_nothing_is_said_where_nothing_was_cut(reranker: Reranker) -> None:
    with shown_by_default(globals()) as caught:
        reranker.rank("q", ["abc"])
    assert not caught
