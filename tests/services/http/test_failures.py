"""Servers that fail: what is sent again, after how long, and what the error says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest
from fake_clock import FakeClock
from rerank_server import Answer, RerankServer

from resift import RemoteError, Reranker, ScorerError
from resift.services.http.retry import Clock, retry_delay
from resift.services.rerank.scorer import RemoteScorer

NOW = 1_700_000_000


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer("cohere").running() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def remote(server: RerankServer, clock: Clock | None = None, **options: Any) -> RemoteScorer:
    scorer = RemoteScorer("cohere", "m", base_url=server.url, **options)
    scorer._client.clock = clock or FakeClock()
    return scorer


def results(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    return {"results": [{"index": index, "relevance_score": score} for index, score in pairs]}


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_temporary_failures_are_retried(server: RerankServer, clock: FakeClock, status: int) -> None:
    scorer = remote(server, clock)
    server.script = [Answer(status, {"message": "not now"}), Answer(status, b"")]
    assert list(scorer.score("red", ["red"])) == [1.0]
    assert clock.waits == [1.0, 2.0]
    server.script = [Answer(status, {"message": "not now"})]
    assert list(await scorer.ascore("red", ["red"])) == [1.0]
    assert clock.waits == [1.0, 2.0, 1.0]
    await scorer.aclose()


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 498])
async def test_permanent_failures_are_not_retried(server: RerankServer, clock: FakeClock, status: int) -> None:
    server.always = Answer(status, {"message": "balance too low"})
    scorer = remote(server, clock)
    with pytest.raises(RemoteError, match=f"cohere:.*Cohere answered {status}: balance too low") as caught:
        scorer.score("red", ["red"])
    assert caught.value.status == status
    with pytest.raises(RemoteError, match=f"answered {status}"):
        await scorer.ascore("red", ["red"])
    assert (len(server.requests), clock.waits) == (2, [])
    await scorer.aclose()


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_request_fails_after_max_retries(server: RerankServer, clock: FakeClock, retries: int) -> None:
    server.always = Answer(503, {"message": "the model is loading"})
    with pytest.raises(RemoteError, match="the model is loading") as caught:
        remote(server, clock, max_retries=retries).score("red", ["red"])
    assert len(server.requests) == retries + 1
    assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0][:retries]
    assert (f"({retries + 1} attempts)" in str(caught.value)) == (retries > 0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "inf", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "3600"}, 60.0),
        ({"retry-after": formatdate(NOW + 7, usegmt=True)}, 7.0),
        ({"retry-after": formatdate(NOW - 7, usegmt=True)}, 1.0),
        ({"retry-after": "0"}, 1.0),
        ({"retry-after": "tomorrow"}, 1.0),
        ({"x-ratelimit-reset": str(NOW + 10)}, 11.0),
        ({"x-ratelimit-reset": str(NOW + 1000)}, 66.0),
        ({"x-ratelimit-reset": str(NOW - 10)}, 1.0),
        ({"x-ratelimit-reset": "never"}, 1.0),
        ({"retry-after": "4", "x-ratelimit-reset": str(NOW + 10)}, 4.0),
        ({}, 1.0),
    ],
)
def test_retry_delay(headers: dict[str, str], seconds: float) -> None:
    assert retry_delay(headers, 0, FakeClock()) == pytest.approx(seconds)


def test_headers_of_a_real_response_are_obeyed(server: RerankServer, clock: FakeClock) -> None:
    server.script = [Answer(429, headers={"Retry-After-Ms": "1500"}), Answer(429, headers={"Retry-After": "3"})]
    remote(server, clock).score("red", ["red"])
    assert clock.waits == [1.5, 3.0]


def test_delays_grow_to_a_minute_and_vary_by_a_tenth() -> None:
    assert [retry_delay({}, attempt, FakeClock()) for attempt in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    waits = {retry_delay({}, 3, Clock()) for _ in range(50)}
    assert 7.2 <= min(waits) < 7.9
    assert 8.1 < max(waits) <= 8.8


async def test_a_response_that_is_cut_short_is_requested_again(server: RerankServer, clock: FakeClock) -> None:
    scorer = remote(server, clock)
    for _ in range(2):
        server.script = [Answer(body=results((0, 0.5)), cut=4)]
        assert list(scorer.score("red", ["red"])) == [1.0]
        server.script = [Answer(body=results((0, 0.5)), cut=4)]
        assert list(await scorer.ascore("red", ["red"])) == [1.0]
    assert clock.waits == [1.0] * 4
    server.always = Answer(body=results((0, 0.5)), cut=4)
    with pytest.raises(RemoteError, match=r"no answer from 127\.0\.0\.1.*3 attempts") as caught:
        scorer.score("red", ["red"])
    assert caught.value.status is None
    await scorer.aclose()


async def test_a_server_that_is_down(clock: FakeClock) -> None:
    with RerankServer("cohere").running() as server:
        scorer = remote(server, clock)
    with pytest.raises(RemoteError, match=r"no answer from 127\.0\.0\.1:\d+: .*refused \(3 attempts\)"):
        scorer.score("red", ["red"])
    with pytest.raises(RemoteError, match="3 attempts"):
        await scorer.ascore("red", ["red"])
    assert clock.waits == [1.0, 2.0] * 2


@pytest.mark.parametrize("slow", [{"delay": 2.5}, {"trickle": 0.2}])
async def test_a_slow_server_fails_after_timeout_and_is_not_retried(server: RerankServer, slow: Any) -> None:
    server.always = Answer(body=results((0, 0.5)), **slow)
    scorer = remote(server, timeout=0.8)
    with pytest.raises(RemoteError, match=r"no whole answer from 127.*within 0\.8 s"):
        scorer.score("red", ["red"])
    with pytest.raises(RemoteError, match=r"within 0\.8 s"):
        await scorer.ascore("red", ["red"])
    assert len(server.requests) == 2
    await scorer.aclose()


async def test_total_timeout_ends_the_retries(server: RerankServer, clock: FakeClock) -> None:
    server.always = Answer(429, {"message": "slow down"}, {"Retry-After": "7"})
    scorer = remote(server, clock, max_retries=100, total_timeout=30.0)
    with pytest.raises(RemoteError, match=r"total_timeout=30 s was over after 5 attempts; the last: 429") as caught:
        scorer.score("red", ["red"])
    assert (clock.waits, caught.value.status) == ([7.0] * 4, 429)
    with pytest.raises(RemoteError, match="after 5 attempts"):
        await scorer.ascore("red", ["red"])
    await scorer.aclose()


async def test_total_timeout_cuts_an_attempt_short(server: RerankServer) -> None:
    server.always = Answer(body=results((0, 0.5)), delay=2.5)
    scorer = remote(server, Clock(), total_timeout=0.8)
    with pytest.raises(RemoteError, match=r"within 0\.[78]"):
        scorer.score("red", ["red"])
    with pytest.raises(RemoteError, match=r"within 0\.[78]"):
        await scorer.ascore("red", ["red"])
    await scorer.aclose()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>502 from a proxy</html>", "no JSON .*<html>502 from a proxy"),
        (b"", "no JSON"),
        (b'{"results": [', "no JSON"),
        ({"message": "model overloaded"}, "no list of 'results': model overloaded"),
        ({"detail": [{"loc": ["body"], "msg": "too long"}]}, "no list of 'results': too long"),
        ([], "no list of 'results'"),
        ({"results": None}, "no list of 'results'"),
        (results(), "0 results for 2 documents"),
        (results((0, 0.5)), "1 results for 2 documents"),
        (results((0, 0.5), (1, 0.5), (2, 0.5)), "3 results for 2 documents"),
        (results((0, 0.5), (0, 0.4)), "two results for document 0"),
        (results((0, 0.5), (2, 0.4)), "document 2, but there are 2"),
        (results((0, 0.5), (-1, 0.4)), "without a usable index"),
        (results((0, 0.5), (True, 0.4)), "without a usable index"),
        (results((0, 0.5), ("1", 0.4)), "without a usable index"),
        ({"results": [1, 2]}, "without a usable index"),
        (results((0, float("nan")), (1, 0.4)), "no number for document 0: nan"),
        (results((0, float("inf")), (1, 0.4)), "no number for document 0: inf"),
        (results((0, None), (1, 0.4)), "no number for document 0: None"),
        (results((0, "0.5"), (1, 0.4)), "no number for document 0"),
        (results((0, 1.5), (1, 0.4)), r"score of 1\.5 for document 0"),
    ],
)
def test_an_unusable_response_is_an_error_that_quotes_it(server: RerankServer, body: Any, message: str) -> None:
    server.always = Answer(body=body)
    with pytest.raises(RemoteError, match=message) as caught:
        remote(server).score("red", ["red", "blue"])
    assert str(caught.value).startswith("cohere:")
    assert "Cohere gave" in str(caught.value)
    assert caught.value.status == 200
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "a"}, "a"),
        ({"detail": "b"}, "b"),
        ({"error": "c", "error_type": "Overloaded"}, "c"),
        ({"error": {"message": "d", "type": "t"}}, "d"),
        ({"title": "Forbidden", "detail": "e"}, "e"),
        ({"detail": [{"loc": ["x"], "msg": "f"}, {"loc": ["y"], "msg": "g"}]}, "f; g"),
        ({"code": 7}, '{"code": 7}'),
        (b"plain words", "plain words"),
        (b"", r"\(it says nothing more\)"),
        (b"x" * 5000, "x{199}…"),
        (b"\xff\xfe", "��"),
    ],
)
def test_errors_quote_the_providers_own_message(server: RerankServer, body: Any, message: str) -> None:
    server.always = Answer(400, body)
    with pytest.raises(RemoteError, match=f"answered 400: {message}$"):
        remote(server).score("red", ["red"])


def test_llamacpp_does_not_cut_and_is_not_retried() -> None:
    with RerankServer("llamacpp").running() as server:
        with pytest.raises(RemoteError, match=r"too large to process.*--ubatch-size"):
            Reranker(f"llamacpp:{server.url}").rank("red", ["red " * 600])
        assert len(server.requests) == 1


def test_redirects_are_not_followed(server: RerankServer) -> None:
    with RerankServer("cohere").running() as elsewhere:
        server.always = Answer(307, b"", {"Location": f"{elsewhere.url}/v2/rerank"})
        with pytest.raises(RemoteError, match=r"answered 307.*final address as base_url"):
            remote(server, api_key="sk-test").score("red", ["red"])
        assert elsewhere.requests == []


@pytest.mark.parametrize("parallel", [1, 4])
async def test_one_failed_request_ends_the_call(server: RerankServer, parallel: int) -> None:
    server.always = Answer(400, {"message": "no"})
    scorer = remote(server, batch_documents=1, parallel_requests=parallel)
    for _ in range(2):
        with pytest.raises(RemoteError, match="answered 400: no"):
            scorer.score("red", [str(number) for number in range(50)])
        with pytest.raises(RemoteError, match="answered 400: no"):
            await scorer.ascore("red", [str(number) for number in range(50)])
    assert len(server.requests) < 200
    await scorer.aclose()


def test_a_failed_request_ends_the_waits_of_the_others(server: RerankServer) -> None:
    def answer(body: Any) -> Answer:
        return Answer(400, {"message": "no"}, delay=0.1) if body["documents"] == ["bad"] else Answer(429, b"")

    server.always = answer
    started = time.monotonic()
    with pytest.raises(RemoteError, match="answered 400"):
        remote(server, SlowClock(), batch_documents=1).score("red", ["a", "b", "bad"])
    assert time.monotonic() - started < 25, "their delays were 60 seconds"


class SlowClock(Clock):
    def random(self) -> float:
        return 60.0 * 5  # so that the first delay is a minute


async def test_cancelling_ends_the_requests(server: RerankServer) -> None:
    server.always = Answer(body=results((0, 0.5)), delay=2.0)
    scorer = remote(server, batch_documents=1, parallel_requests=2)
    task = asyncio.create_task(scorer.ascore("red", list("abcdefgh")))
    await _wait_until(lambda: len(server.requests) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    assert len(server.requests) == 2
    server.always = None
    assert list(await scorer.ascore("red", ["red"])) == [1.0], "the pool still works"
    await scorer.aclose()


async def _wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_the_reranker_raises_or_keeps_the_order(server: RerankServer) -> None:
    server.always = Answer(402, {"message": "balance too low"})
    with pytest.raises(ScorerError, match="balance too low"):
        Reranker(remote(server)).rank("red", ["blue", "red"])
    kept = Reranker(remote(server), on_error="keep_order")
    for ranking in (kept.rank("red", ["blue", "red"]), await kept.arank("red", ["blue", "red"])):
        assert ranking.documents == ["blue", "red"]
        assert ranking.degraded is not None
        assert "balance too low" in ranking.degraded
