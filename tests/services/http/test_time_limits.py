"""`timeout` and `total_timeout` hold to the last byte, whatever the server does meanwhile, blocking and awaited."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import slow_server as slow

from resift import RemoteError
from resift.services.rerank.scorer import RemoteScorer

TIMEOUT = 0.5
GRACE = 4
"""Seconds more than the timeout that a call may take on a busy machine. Without a clock it takes 6 seconds."""

BEHAVIOURS = [
    slow.says_nothing,
    slow.drips_headers,
    slow.drips_hints,
    slow.drips_the_body,
    slow.drips_chunk_sizes,
    slow.stops_in_the_headers,
    slow.stops_in_the_body,
]


def remote(address: str, **options: Any) -> RemoteScorer:
    return RemoteScorer("compatible", "m", **{"base_url": f"http://{address}", "max_retries": 0, **options})


async def fails_in_time(scorer: RemoteScorer, texts: list[str], awaited: bool, message: str = "within") -> None:
    started = time.monotonic()
    with pytest.raises(RemoteError, match=message):
        await scorer.ascore("red", texts) if awaited else scorer.score("red", texts)
    assert time.monotonic() - started < TIMEOUT + GRACE
    await scorer.aclose()
    scorer.close()


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_timeout_holds(behaviour: slow.Behaviour, awaited: bool) -> None:
    with slow.slow_server(behaviour) as address:
        await fails_in_time(remote(address, timeout=TIMEOUT), ["red"], awaited, rf"no whole answer.*within {TIMEOUT} s")


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("behaviour", [slow.drips_headers, slow.drips_the_body])
async def test_total_timeout_holds(behaviour: slow.Behaviour, awaited: bool) -> None:
    with slow.slow_server(behaviour) as address:
        scorer = remote(address, total_timeout=TIMEOUT, max_retries=5)
        await fails_in_time(scorer, ["red"], awaited, r"no whole answer.*within 0\.[45]")


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("behaviour", [slow.drips_headers, slow.drips_the_body])
async def test_timeout_holds_on_a_connection_that_was_used_before(behaviour: slow.Behaviour, awaited: bool) -> None:
    with slow.slow_server(slow.answers, behaviour) as address:
        scorer = remote(address, timeout=TIMEOUT)
        assert list(await scorer.ascore("red", ["red"]) if awaited else scorer.score("red", ["red"])) == [0.5]
        await fails_in_time(scorer, ["red"], awaited)


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("behaviour", [slow.reads_nothing, slow.reads_a_little])
async def test_timeout_holds_while_a_large_request_is_sent(behaviour: slow.Behaviour, awaited: bool) -> None:
    with slow.slow_server(behaviour) as address:
        await fails_in_time(remote(address, timeout=TIMEOUT), ["red " * 10_000_000], awaited)


@pytest.mark.parametrize("awaited", [False, True])
async def test_timeout_holds_in_the_tls_handshake(awaited: bool) -> None:
    with slow.slow_server(slow.drips_the_handshake) as address:
        scorer = remote(address, base_url=f"https://{address}", timeout=TIMEOUT)
        await fails_in_time(scorer, ["red"], awaited, "no answer from|no whole answer from")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what doesn't fit in the queue")
@pytest.mark.parametrize("awaited", [False, True])
async def test_timeout_holds_while_connecting(awaited: bool) -> None:
    with slow.full_server() as address:
        await fails_in_time(remote(address, timeout=TIMEOUT), ["red"], awaited, "no answer from")


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_timeout_holds_behind_a_proxy(scheme: str, awaited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with slow.slow_server(slow.drips_hints) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{proxy}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        scorer = remote("host.invalid", base_url=f"{scheme}://host.invalid", timeout=TIMEOUT)
        await fails_in_time(scorer, ["red"], awaited, "no whole answer from host")


@pytest.mark.parametrize("awaited", [False, True])
async def test_timeout_holds_while_the_name_is_looked_up(awaited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up, over = socket.getaddrinfo, threading.Event()

    def slow_look_up(*arguments: Any, **options: Any) -> Any:
        over.wait(slow.LONGEST_SECONDS)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow_look_up)
    scorer = remote("localhost:1", timeout=TIMEOUT)
    try:
        await fails_in_time(scorer, ["red"], awaited, "no answer from|no whole answer from")
    finally:
        over.set()  # or the event loop, which has threads for this, ends only afterwards


def test_a_name_with_several_addresses_is_tried_until_one_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def several(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        hosts = ["::1", "127.0.0.1"] if host == "many.invalid" else [host]  # nothing listens at the first
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host in hosts
        ]

    with slow.slow_server(slow.answers) as address:
        monkeypatch.setattr(socket, "getaddrinfo", several)
        with remote(f"many.invalid:{address.split(':')[1]}", timeout=5) as scorer:
            assert list(scorer.score("red", ["red"])) == [0.5]


def test_an_unknown_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RemoteError, match=r"no answer from nobody\.invalid:1: .*Name or service not known"):
        remote("nobody.invalid:1").score("red", ["red"])


@pytest.mark.parametrize("awaited", [False, True])
async def test_requests_at_the_same_time_all_end_in_time_and_leave_no_thread(awaited: bool) -> None:
    before = set(threading.enumerate())
    with slow.slow_server(slow.drips_headers) as address:
        scorer = remote(address, timeout=TIMEOUT, batch_documents=1, parallel_requests=8)
        await fails_in_time(scorer, list("abcdefgh"), awaited)
    await _wait_until(lambda: not set(threading.enumerate()) - before)


def test_a_slow_request_doesnt_shorten_another_threads() -> None:
    """Connections are shared by threads, and each request has an end of its own."""
    with (
        slow.slow_server(slow.drips_headers) as dripping,
        slow.slow_server(slow.answers) as healthy,
        remote(dripping, timeout=TIMEOUT) as impatient,
        remote(healthy, timeout=30) as patient,
    ):
        assert list(patient.score("red", ["red"])) == [0.5]
        with pytest.raises(RemoteError, match="within"):
            impatient.score("red", ["red"])
        assert list(patient.score("red", ["red"])) == [0.5]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the server's thread is not ours
def test_timeout_holds_in_a_forked_child() -> None:
    with slow.slow_server(slow.answers, slow.drips_headers) as address:
        scorer = remote(address, timeout=TIMEOUT)
        assert list(scorer.score("red", ["red"])) == [0.5]
        _INHERITED[:] = [scorer]
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(_seconds_in_child).get(60) < TIMEOUT + GRACE
        _INHERITED.clear()
        scorer.close()


_INHERITED: list[RemoteScorer] = []


def _seconds_in_child() -> float:
    started = time.monotonic()
    with pytest.raises(RemoteError, match="within"):
        _INHERITED[0].score("red", ["red"])
    return time.monotonic() - started


async def _wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")
