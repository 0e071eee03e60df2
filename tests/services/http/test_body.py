"""An answer is read and unpacked no further than a right one can be long, and in steps that let others run."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import slow_server as slow
from fake_clock import FakeClock
from rerank_server import Answer, RerankServer

from resift import RemoteError
from resift.services.http.body import BYTES_PER_STEP, MAX_BYTES, Body, BodyError
from resift.services.rerank.scorer import RemoteScorer

RIGHT = {"results": [{"index": 0, "relevance_score": 0.5}]}
GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer("cohere").running() as running:
        yield running


@cache
def bomb(fill: bytes = b" ", mebibytes: int = 300) -> bytes:
    """Gzip that unpacks to so many MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join([packer.compress(fill * 2**20) for _ in range(mebibytes)] + [packer.flush()])


def remote(server: RerankServer, **options: Any) -> RemoteScorer:
    scorer = RemoteScorer("cohere", "m", base_url=server.url, **options)
    scorer._client.clock = FakeClock()
    return scorer


async def score(scorer: RemoteScorer, awaited: bool, texts: list[str] | None = None) -> list[float]:
    texts = texts or ["red"]
    scores = await scorer.ascore("red", texts) if awaited else scorer.score("red", texts)
    await scorer.aclose()
    scorer.close()
    return list(scores)


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_packed_answer_is_read(server: RerankServer, awaited: bool) -> None:
    server.always = Answer(body=gzip.compress(json.dumps(RIGHT).encode()), headers=GZIP)
    assert await score(remote(server), awaited) == [0.5]
    assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_packed_answer_that_unpacks_to_300_mb_takes_little_memory(server: RerankServer, awaited: bool) -> None:
    server.always = Answer(body=bomb(), headers=GZIP)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError, match=r"more than 2,\d{3},\d{3} bytes.*send less in one request") as caught:
            await score(remote(server), awaited)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status == 200
    assert len(server.requests) == 1, "it is not sent again"
    assert peak < 32 * 2**20


async def test_a_packed_answer_doesnt_stop_the_event_loop(server: RerankServer) -> None:
    server.always = Answer(body=bomb(), headers=GZIP)
    lag = await longest_lag(remote(server))
    assert lag < 1, "it was 0.02 s where reading to the end took 2.5 s"


async def test_an_answer_at_the_limit_doesnt_stop_the_event_loop_for_long(server: RerankServer) -> None:
    content = b"[" + b"[]," * (MAX_BYTES // 3 - 2) + b"[]]"
    started = time.perf_counter()
    json.loads(content)
    once = time.perf_counter() - started  # 0.2 s on a machine that does nothing else
    server.always = Answer(body=gzip.compress(content), headers=GZIP)
    assert await longest_lag(remote(server)) < 5 * once + 1


async def longest_lag(scorer: RemoteScorer) -> float:
    """Return the longest time in which the event loop ran no other task, in seconds."""
    lags = []

    async def tick() -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - started)

    ticking = asyncio.create_task(tick())
    with pytest.raises(RemoteError):
        await score(scorer, awaited=True)
    ticking.cancel()
    return max(lags)


@pytest.mark.parametrize("awaited", [False, True])
async def test_an_answer_without_end(awaited: bool) -> None:
    with slow.slow_server(slow.sends_without_end) as address:
        scorer = RemoteScorer("compatible", "m", base_url=f"http://{address}")
        with pytest.raises(RemoteError, match="more than 2,"):
            await score(scorer, awaited)


@pytest.mark.parametrize("awaited", [False, True])
async def test_empty_gzip_without_end_is_bounded_too(server: RerankServer, awaited: bool) -> None:
    packer = zlib.compressobj(0, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    nothing = packer.compress(b" ") + packer.flush(zlib.Z_FULL_FLUSH) + b"\x00\x00\x00\xff\xff" * (MAX_BYTES // 4)
    server.always = Answer(body=nothing, headers=GZIP)
    with pytest.raises(RemoteError, match="more than 2,"):
        await score(remote(server), awaited)


@pytest.mark.parametrize("awaited", [False, True])
async def test_an_error_of_any_length_keeps_its_status_and_its_beginning(server: RerankServer, awaited: bool) -> None:
    server.always = Answer(400, bomb(b"no such model ", 20), GZIP)
    with pytest.raises(RemoteError, match=r"answered 400: no such model no such") as caught:
        await score(remote(server), awaited)
    assert caught.value.status == 400


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_server_that_repeats_long_documents_is_read(awaited: bool) -> None:
    with RerankServer("vllm").running() as server:
        scorer = RemoteScorer("vllm", server.url)
        texts = ["red " + "é" * 300_000, "blue " + "é" * 300_000]
        assert len(json.dumps(texts)) > MAX_BYTES
        assert len(await score(scorer, awaited, texts)) == 2


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (b"not packed", "gzip", "Cohere gave an answer that is no gzip"),
        (b"\x0b\x02\x80[]\x03", "br", "Cohere gave an answer packed as br, where gzip or nothing was asked for"),
        (gzip.compress(b"[]"), "gzip, gzip", "packed as gzip, gzip"),
    ],
    ids=["no gzip", "brotli", "twice"],  # bytes of gzip hold the time, and all workers need the same names
)
async def test_packing_that_cant_be_read(
    server: RerankServer, body: bytes, encoding: str, message: str, awaited: bool
) -> None:
    server.always = Answer(200, body, {"Content-Encoding": encoding})
    with pytest.raises(RemoteError, match=message) as caught:
        await score(remote(server), awaited)
    assert caught.value.status == 200
    assert len(server.requests) == 1
    server.always = Answer(503, body, {"Content-Encoding": encoding})
    with pytest.raises(RemoteError, match=r"answered 503 \(3 attempts\)"):
        await score(remote(server), awaited)


@pytest.mark.parametrize("awaited", [False, True])
async def test_gzip_that_ends_early_is_requested_again(server: RerankServer, awaited: bool) -> None:
    server.script = [Answer(body=gzip.compress(json.dumps(RIGHT).encode())[:-12], headers=GZIP)]
    assert await score(remote(server), awaited) == [1.0]
    assert len(server.requests) == 2


def test_a_body_is_unpacked_in_small_steps() -> None:
    body = Body({"content-encoding": "gzip"}, 0)
    data = bomb(b"x", 2)
    lengths = [len(body.content) for _ in body.add(data)]
    steps = [after - before for before, after in zip([0, *lengths], lengths, strict=False)]
    assert max(steps) <= BYTES_PER_STEP
    assert body.finish() == b"x" * MAX_BYTES
    with pytest.raises(BodyError, match=r"more than 2,097,152 bytes"):
        list(Body({}, 0).add(b"x" * (MAX_BYTES + 1)))
