"""The service without a cluster: request and response formats, shared batches, limits and errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fake_clock import FakeClock
from service_over_http import listening

from resift import InputError, RemoteError, Reranker, Scale, ScorerError
from resift.scorer import Request
from resift.serving.asgi import ServiceOptions, application
from resift.serving.service import BusyError, RerankService
from resift.testing import OverlapScorer, ScriptedScorer

QUERY = "what eats bamboo?"
CLIENTS = ("cohere", "compatible", "tei")
DOCUMENTS = ["Stocks fell on Monday.", "Pandas eat bamboo.", "The fox lives in a den.", "Pandas eat bamboo."]


def client(service: RerankService, max_documents: int = 10, max_body: int = 100_000) -> httpx.AsyncClient:
    app = application(service, ServiceOptions(max_documents, max_body))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


def small_service(scorer: Any) -> RerankService:
    return RerankService(scorer, batch_tokens=1000, waiting_tokens=10_000)


def remote(scheme: str, url: str, **options: Any) -> Reranker:
    """Return resift's own client of the service, which uses the route of `scheme`."""
    if scheme == "cohere":
        return Reranker("cohere:resift", base_url=url, api_key="x", **options)
    return Reranker(f"compatible:{url}#resift" if scheme == "compatible" else f"tei:{url}", **options)


@dataclass
class Gate:
    """A scorer that waits for `open`, and keeps its batches."""

    name: str = "gate"
    scale: Scale = Scale.PROBABILITY
    open: threading.Event = field(default_factory=threading.Event)
    batches: list[list[Request]] = field(default_factory=list)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return OverlapScorer().score(query, documents)

    def score_many(self, requests: Sequence[Request]) -> list[list[float]]:
        self.batches.append(list(requests))
        assert self.open.wait(20)
        return [self.score(query, documents) for query, documents in requests]


async def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what another thread or task does."""
    while not condition():  # noqa: ASYNC110 - the scorer runs in a thread, where an asyncio.Event can't be set
        await asyncio.sleep(0.01)


async def test_every_shape_gives_the_rerankers_own_order(bundled: Reranker) -> None:
    ranking = bundled.rank(QUERY, DOCUMENTS)
    order = [hit.index for hit in ranking]
    relevance = pytest.approx([hit.relevance for hit in ranking], abs=1e-5)
    async with client(RerankService(bundled.scorer, batch_tokens=1000, waiting_tokens=1000)) as http:
        body = {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS}
        cohere = (await http.post("/v2/rerank", json={**body, "max_tokens_per_doc": 4096})).json()
        jina = (await http.post("/v1/rerank", json=body)).json()
        tei = (await http.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "return_text": True})).json()
        raw = (await http.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "raw_scores": True})).json()
    for rows, key in [(cohere["results"], "relevance_score"), (jina["results"], "relevance_score"), (tei, "score")]:
        assert [row["index"] for row in rows] == order
        assert [row[key] for row in rows] == relevance
    assert [row["score"] for row in raw] == pytest.approx([hit.score for hit in ranking], abs=1e-4)
    assert set(cohere) == {"id", "results", "meta"}
    assert set(cohere["results"][0]) == {"index", "relevance_score"}
    assert (jina["model"], jina["object"]) == ("resift:small", "list")
    assert [row["document"] for row in jina["results"]] == [{"text": DOCUMENTS[index]} for index in order]
    assert jina["usage"]["total_tokens"] == cohere["meta"]["tokens"]["input_tokens"] > 0
    assert [row["text"] for row in tei] == [DOCUMENTS[index] for index in order]
    assert set(raw[0]) == {"index", "score"}


async def test_top_n_and_documents_as_objects() -> None:
    async with client(small_service(OverlapScorer())) as http:
        body = {"query": "red fox", "documents": ["a whale", "a fox", "a red fox"], "top_n": 1}
        assert len((await http.post("/v2/rerank", json=body)).json()["results"]) == 1
        objects = [{"text": text} for text in body["documents"]]
        jina = (await http.post("/v1/rerank", json={**body, "documents": objects, "return_documents": False})).json()
        assert jina["results"] == [{"index": 2, "relevance_score": 1.0}]


async def test_texts_that_were_cut_are_reported(bundled: Reranker) -> None:
    long = ["word " * 1000, "short"]
    scorer = Reranker(long_documents="truncate").scorer
    async with client(RerankService(scorer, batch_tokens=1000, waiting_tokens=1000)) as http:
        cohere = (await http.post("/v2/rerank", json={"query": QUERY, "documents": long})).json()
        assert cohere["meta"]["warnings"] == [
            "1 documents are longer than the model reads: only their beginning was scored"
        ]
        refused = await http.post("/rerank", json={"query": QUERY, "texts": long, "truncate": False})
        assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
        assert "longer than 256 tokens" in refused.json()["error"]
        assert (await http.post("/rerank", json={"query": QUERY, "texts": long})).status_code == 200
    async with client(RerankService(bundled.scorer, batch_tokens=1000, waiting_tokens=1000)) as http:
        read = await http.post("/rerank", json={"query": QUERY, "texts": long, "truncate": False})
        assert read.status_code == 200  # in windows
        assert (
            "warnings" not in (await http.post("/v2/rerank", json={"query": QUERY, "documents": long})).json()["meta"]
        )


async def test_info_and_health_are_those_of_tei() -> None:
    async with client(small_service(Reranker().scorer), max_documents=32) as http:
        info = (await http.get("/info")).json()
        assert (info["model_id"], info["max_client_batch_size"]) == ("resift:small", 32)
        assert (info["max_input_length"], list(info["model_type"])) == (256, ["reranker"])
        health = await http.get("/health")
        assert (health.status_code, health.content) == (200, b"")


BROKEN = [
    (b"{", "Invalid JSON"),
    (b'"text"', "Input should be an object"),
    (b'{"query": 3, "documents": ["a"], "texts": ["a"]}', "query: Input should be a valid string"),
    (b'{"query": "a", "documents": [null], "texts": [null]}', "0"),
    (b'{"query": " ", "documents": ["a"], "texts": ["a"]}', "the query must be a text"),
    (b'{"query": "a", "documents": "abc", "texts": "abc"}', "Input should be a valid array"),
    (b'{"query": "\xff", "documents": ["a"], "texts": ["a"]}', "Invalid JSON"),
]


@pytest.mark.parametrize(("body", "message"), BROKEN)
async def test_bad_requests_get_the_error_of_each_shape(body: bytes, message: str) -> None:
    async with client(small_service(OverlapScorer())) as http:
        cohere, jina, tei = [await http.post(path, content=body) for path in ("/v2/rerank", "/v1/rerank", "/rerank")]
    assert [answer.status_code for answer in (cohere, jina, tei)] == [400, 400, 422]
    assert message in cohere.json()["message"]
    assert message in jina.json()["detail"]
    assert message in tei.json()["error"]
    assert tei.json()["error_type"] == "Validation"


async def test_bounds_of_a_request() -> None:
    async with client(small_service(OverlapScorer()), max_documents=3, max_body=1000) as http:
        many = {"query": "a", "documents": ["a"] * 4, "texts": ["a"] * 4}
        large = {"query": "a", "documents": ["a" * 1000], "texts": ["a" * 1000]}
        for path, statuses in [("/v2/rerank", [400, 413]), ("/v1/rerank", [400, 413]), ("/rerank", [422, 413])]:
            assert [(await http.post(path, json=body)).status_code for body in (many, large)] == statuses

        async def chunks() -> Any:  # no Content-Length
            yield b'{"query": "'
            yield b"a" * 2000

        assert (await http.post("/rerank", content=chunks())).status_code == 413
        empty = await http.post("/rerank", json={"query": "a", "texts": []})
        assert (empty.status_code, empty.json()["error_type"]) == (400, "Empty")
        assert (await http.post("/v2/rerank", json={"query": "a", "documents": []})).status_code == 400
        assert (await http.get("/rerank")).status_code == 405
        assert (await http.get("/nothing")).status_code == 404


@pytest.mark.parametrize("answer", [OSError("disk"), [float("nan")], [1.0, 2.0]])
async def test_a_failing_model_is_an_error_of_the_service(answer: Any) -> None:
    async with client(small_service(ScriptedScorer(answer))) as http:
        cohere = await http.post("/v2/rerank", json={"query": "a", "documents": ["a"]})
        tei = await http.post("/rerank", json={"query": "a", "texts": ["a"]})
    assert (cohere.status_code, tei.status_code, tei.json()["error_type"]) == (500, 424, "Backend")
    assert "scripted" in cohere.json()["message"]


async def test_requests_of_a_size_that_wait_are_scored_together_within_twice_the_batch_tokens() -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=100, waiting_tokens=10_000)  # type: ignore[arg-type]  # a scorer by duck
    text = "x" * 4 * 28  # with its query and what stands around them 33 tokens by the estimate: six fit
    waiting = [asyncio.create_task(service.score("q", [f"0{text}"]))]
    await wait_until(lambda: gate.batches)
    waiting += [asyncio.create_task(service.score("q", [f"{number}{text}"])) for number in range(1, 8)]
    await wait_until(lambda: service.queue.waiting_tokens > 7 * 30)
    gate.open.set()
    answers = await asyncio.gather(*waiting)
    assert [len(answer) for answer in answers] == [1] * 8
    assert [len(batch) for batch in gate.batches] == [1, 6, 1], "the first one found the scorer free"
    order = [request.documents[0][0] for batch in gate.batches for request in batch]
    assert order == list("01234567"), "first come, first served"


async def test_a_request_larger_than_a_round_is_scored_in_several() -> None:
    gate = Gate()
    gate.open.set()
    service = RerankService(gate, batch_tokens=10, waiting_tokens=10)  # type: ignore[arg-type]  # a scorer by duck
    assert list(await service.score("red fox", ["a red fox", "a whale", "a red fox"])) == [1.0, 0.0, 1.0]
    scored = [text for batch in gate.batches for request in batch for text in request.documents]
    assert scored == ["a red fox", "a whale"], "equal texts once"


async def test_a_bad_request_fails_alone(bundled: Reranker) -> None:
    service = RerankService(bundled.scorer, batch_tokens=10_000, waiting_tokens=10_000)
    answers = await asyncio.gather(
        service.score(QUERY, ["pandas"]),
        service.score("word " * 600, ["pandas"]),
        service.score(QUERY, ["stocks"]),
        return_exceptions=True,
    )
    assert isinstance(answers[1], InputError)
    assert "600 tokens" in str(answers[1])
    assert [list(scores) for scores in (answers[0], answers[2])] == [  # type: ignore[arg-type]  # asserted to be scores
        pytest.approx([bundled.rank(QUERY, [text])[0].score], abs=1e-5) for text in ("pandas", "stocks")
    ]


async def test_more_than_waiting_tokens_is_429_with_retry_after_and_the_others_are_answered() -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=1, waiting_tokens=50)  # type: ignore[arg-type]  # a scorer by duck
    async with client(service) as http:
        body = {"query": "q", "documents": ["x" * 4 * 20]}
        running = [asyncio.create_task(http.post("/v2/rerank", json=body))]
        await wait_until(lambda: gate.batches)
        running += [asyncio.create_task(http.post("/v2/rerank", json=body)) for _ in range(2)]
        await wait_until(lambda: service.queue.waiting_tokens == 48)
        cohere = await http.post("/v2/rerank", json=body)
        tei = await http.post("/rerank", json={"query": "q", "texts": body["documents"]})
        assert (cohere.status_code, tei.status_code) == (429, 429)
        assert int(cohere.headers["retry-after"]) >= 1
        assert int(tei.headers["retry-after"]) >= 1
        assert tei.json()["error_type"] == "Overloaded"
        assert cohere.json()["message"].startswith("overloaded: about 48 tokens are waiting")
        gate.open.set()
        assert [answer.status_code for answer in await asyncio.gather(*running)] == [200] * 3
        assert (await http.post("/v2/rerank", json=body)).status_code == 200, "room again"


async def test_a_request_that_is_cancelled_while_it_waits_is_not_scored() -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=1, waiting_tokens=50)  # type: ignore[arg-type]  # a scorer by duck
    running = asyncio.create_task(service.score("q", ["a"]))
    await wait_until(lambda: gate.batches)
    leaving, staying = [asyncio.create_task(service.score("q", [text])) for text in "bc"]
    await wait_until(lambda: service.queue.waiting_tokens)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    gate.open.set()
    await asyncio.gather(running, staying)
    assert [request.documents[0] for batch in gate.batches for request in batch] == ["a", "c"]


def test_a_scale_without_relevance_is_refused() -> None:
    with pytest.raises(InputError, match="overlap scores on the ordinal scale, and this service's callers expect 0"):
        small_service(OverlapScorer(scale=Scale.ORDINAL))


def test_a_busy_error_is_no_scorer_error() -> None:
    assert str(BusyError("full", 3)) == "full"
    assert not issubclass(BusyError, ScorerError)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The URL of the bundled model's service, which takes ten documents a request."""
    with listening(RerankService(Reranker().scorer, batch_tokens=1000, waiting_tokens=10_000)) as url:
        yield url


@pytest.mark.parametrize("scheme", CLIENTS)
@pytest.mark.parametrize(
    "count", [4, 33]
)  # more than ten: tei: reads the limit from /info, the others get it as an option
async def test_our_own_client_ranks_as_the_model_in_this_process(served: str, scheme: str, count: int) -> None:
    documents = [*DOCUMENTS, *(f"{text} {number} times." for number in range(8) for text in DOCUMENTS)][:count]
    here = Reranker().rank(QUERY, documents)
    options = {} if scheme == "tei" else {"batch_documents": 10}
    client = remote(scheme, served, **options)
    for ranking in (client.rank(QUERY, documents), await client.arank(QUERY, documents)):
        assert [hit.index for hit in ranking] == [hit.index for hit in here]
        assert [hit.relevance for hit in ranking] == pytest.approx([hit.relevance for hit in here], abs=1e-6)
        if scheme == "tei":
            assert client.scorer.scale is Scale.LOGIT
            # A split list is scored in other batches, and float32 rounds a logit of 2 otherwise there.
            rounding = 1e-6 if count <= 10 else 1e-5
            assert [hit.score for hit in ranking] == pytest.approx([hit.score for hit in here], abs=rounding)
    await client.scorer.aclose()  # type: ignore[attr-defined]  # a RemoteScorer
    client.scorer.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("scheme", "status"), [("cohere", 400), ("compatible", 400), ("tei", 422)])
async def test_our_own_client_raises_the_services_own_message(served: str, scheme: str, status: int) -> None:
    client = remote(scheme, served, batch_documents=20)
    for query, documents, message in [
        (QUERY, [f"panda {number}" for number in range(11)], "11 documents are more than the 10 of a request"),
        ("word " * 600, ["pandas"], "600 tokens"),
    ]:
        with pytest.raises(RemoteError, match=f"answered {status}: .*{message}") as caught:
            client.rank(query, documents)
        assert caught.value.status == status
        with pytest.raises(RemoteError, match=message):
            await client.arank(query, documents)
    await client.scorer.aclose()  # type: ignore[attr-defined]  # a RemoteScorer
    client.scorer.close()  # type: ignore[attr-defined]


@dataclass
class Draining(FakeClock):
    """A clock that, instead of waiting, lets the service score everything that waits."""

    gate: Gate = field(default_factory=Gate)
    earlier: list[Future[Any]] = field(default_factory=list)

    def sleep(self, seconds: float, halt: threading.Event) -> None:
        super().sleep(seconds, halt)
        self.gate.open.set()
        assert [answer.result(20).status_code for answer in self.earlier] == [200] * len(self.earlier)

    async def asleep(self, seconds: float) -> None:
        await asyncio.to_thread(self.sleep, seconds, threading.Event())


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("scheme", CLIENTS)
async def test_our_own_client_tries_again_after_a_429(scheme: str, awaited: bool) -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=1, waiting_tokens=50)
    service.queue.seconds_per_character = 0.1 / 4  # so that it asks for another wait than the client's own, a second
    body = {"query": "q", "documents": ["x" * 4 * 20]}
    with listening(service) as url, ThreadPoolExecutor() as threads:
        client = remote(scheme, url, max_retries=1)
        clock = client.scorer._client.clock = Draining(gate=gate)  # type: ignore[attr-defined]  # a RemoteScorer
        clock.earlier += [threads.submit(httpx.post, f"{url}/v2/rerank", json=body, timeout=30)]
        await wait_until(lambda: gate.batches)
        clock.earlier += [threads.submit(httpx.post, f"{url}/v2/rerank", json=body, timeout=30) for _ in range(2)]
        await wait_until(lambda: service.queue.waiting_tokens == 48)
        documents = ["a red fox", "a whale", "x" * 4 * 20]
        ranking = await client.arank("red fox", documents) if awaited else client.rank("red fox", documents)
        assert [hit.index for hit in ranking] == [0, 1, 2]
        assert clock.waits == [5.0], "the Retry-After"
        await client.scorer.aclose()  # type: ignore[attr-defined]
        client.scorer.close()  # type: ignore[attr-defined]
