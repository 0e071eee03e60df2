"""The service: its wire shapes, shared batches, back-pressure and refusals, without a cluster."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from fake_clock import FakeClock

from resift import InputError, RemoteError, Reranker, Scale, ScorerError
from resift.scorer import Request
from resift.serving.asgi import application
from resift.serving.service import BusyError, RerankService
from resift.testing import OverlapScorer, ScriptedScorer

QUERY = "what eats bamboo?"
CLIENTS = ("cohere", "compatible", "tei")
DOCUMENTS = ["Stocks fell on Monday.", "Pandas eat bamboo.", "The fox lives in a den.", "Pandas eat bamboo."]


def client(service: RerankService, max_documents: int = 10, max_body: int = 100_000) -> httpx.AsyncClient:
    made = application(service, max_documents=max_documents, max_body=max_body)
    return httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://service")


def small(scorer: Any) -> RerankService:
    return RerankService(scorer, batch_tokens=1000, waiting_tokens=10_000)


@contextmanager
def listening(service: RerankService, max_documents: int = 10) -> Iterator[str]:
    """The address of the application on a server of its own, where resift's own client reaches it."""
    made = application(service, max_documents=max_documents, max_body=100_000)
    server = uvicorn.Server(uvicorn.Config(made, lifespan="off", ws="none", log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as port:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}"  # it listens already: what comes early waits
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def remote(scheme: str, url: str, **options: Any) -> Reranker:
    """resift's own client of the service, by the route of each shape."""
    if scheme == "cohere":
        return Reranker("cohere:resift", base_url=url, api_key="x", **options)
    return Reranker(f"compatible:{url}#resift" if scheme == "compatible" else f"tei:{url}", **options)


@dataclass
class Gate:
    """A scorer that waits to be let go on, and remembers its batches."""

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


async def until(done: Callable[[], object]) -> None:
    """Waits for what another thread or task does."""
    while not done():  # noqa: ASYNC110 - the scorer runs in a thread, where an asyncio.Event can't be set
        await asyncio.sleep(0.01)


async def test_every_shape_gives_the_rerankers_own_order(bundled: Reranker) -> None:
    ranking = bundled.rank(QUERY, DOCUMENTS)
    order = [hit.index for hit in ranking]
    relevance = pytest.approx([hit.relevance for hit in ranking], abs=1e-5)
    async with client(RerankService(bundled.scorer, batch_tokens=1000, waiting_tokens=1000)) as http:
        asked = {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS}
        cohere = (await http.post("/v2/rerank", json={**asked, "max_tokens_per_doc": 4096})).json()
        jina = (await http.post("/v1/rerank", json=asked)).json()
        tei = (await http.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "return_text": True})).json()
        raw = (await http.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "raw_scores": True})).json()
    for rows, key in [(cohere["results"], "relevance_score"), (jina["results"], "relevance_score"), (tei, "score")]:
        assert [row["index"] for row in rows] == order
        assert [row[key] for row in rows] == relevance
    assert [row["score"] for row in raw] == pytest.approx([hit.score for hit in ranking], abs=1e-4)
    assert set(cohere) == {"id", "results", "meta"}
    assert set(cohere["results"][0]) == {"index", "relevance_score"}
    assert (jina["model"], jina["object"]) == ("resift:small", "list")
    assert [row["document"] for row in jina["results"]] == [{"text": DOCUMENTS[place]} for place in order]
    assert jina["usage"]["total_tokens"] == cohere["meta"]["tokens"]["input_tokens"] > 0
    assert [row["text"] for row in tei] == [DOCUMENTS[place] for place in order]
    assert set(raw[0]) == {"index", "score"}


async def test_top_n_and_documents_as_objects() -> None:
    async with client(small(OverlapScorer())) as http:
        asked = {"query": "red fox", "documents": ["a whale", "a fox", "a red fox"], "top_n": 1}
        assert len((await http.post("/v2/rerank", json=asked)).json()["results"]) == 1
        objects = [{"text": text} for text in asked["documents"]]
        jina = (await http.post("/v1/rerank", json={**asked, "documents": objects, "return_documents": False})).json()
        assert jina["results"] == [{"index": 2, "relevance_score": 1.0}]


async def test_text_that_went_unread_is_told(bundled: Reranker) -> None:
    long = ["word " * 1000, "short"]
    service = RerankService(Reranker().scorer, batch_tokens=1000, waiting_tokens=1000)
    async with client(service) as http:
        cohere = (await http.post("/v2/rerank", json={"query": QUERY, "documents": long})).json()
        assert cohere["meta"]["warnings"] == [
            "1 documents are longer than the model reads: only their beginning was scored"
        ]
        refused = await http.post("/rerank", json={"query": QUERY, "texts": long, "truncate": False})
        assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
        assert "longer than 256 tokens" in refused.json()["error"]
        assert (await http.post("/rerank", json={"query": QUERY, "texts": long})).status_code == 200


async def test_info_and_health_are_as_tei_tells_them() -> None:
    async with client(small(Reranker().scorer), max_documents=32) as http:
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
    (b'{"query": "\\ud83d", "documents": ["a"], "texts": ["a"]}', "Invalid JSON"),
    (b'{"query": "\xff", "documents": ["a"], "texts": ["a"]}', "Invalid JSON"),
]


@pytest.mark.parametrize(("body", "said"), BROKEN)
async def test_what_makes_no_sense_is_refused_in_each_shapes_own_words(body: bytes, said: str) -> None:
    async with client(small(OverlapScorer())) as http:
        cohere, jina, tei = [await http.post(path, content=body) for path in ("/v2/rerank", "/v1/rerank", "/rerank")]
    assert [answer.status_code for answer in (cohere, jina, tei)] == [400, 400, 422]
    assert said in cohere.json()["message"]
    assert said in jina.json()["detail"]
    assert said in tei.json()["error"]
    assert tei.json()["error_type"] == "Validation"


async def test_bounds_of_a_request() -> None:
    async with client(small(OverlapScorer()), max_documents=3, max_body=1000) as http:
        many = {"query": "a", "documents": ["a"] * 4, "texts": ["a"] * 4}
        large = {"query": "a", "documents": ["a" * 1000], "texts": ["a" * 1000]}
        for path, statuses in [("/v2/rerank", [400, 413]), ("/v1/rerank", [400, 413]), ("/rerank", [422, 413])]:
            assert [(await http.post(path, json=one)).status_code for one in (many, large)] == statuses

        async def pieces() -> Any:  # no Content-Length
            yield b'{"query": "'
            yield b"a" * 2000

        assert (await http.post("/rerank", content=pieces())).status_code == 413
        empty = await http.post("/rerank", json={"query": "a", "texts": []})
        assert (empty.status_code, empty.json()["error_type"]) == (400, "Empty")
        assert (await http.post("/v2/rerank", json={"query": "a", "documents": []})).status_code == 400
        assert (await http.get("/rerank")).status_code == 405
        assert (await http.get("/nothing")).status_code == 404


@pytest.mark.parametrize("answer", [OSError("disk"), [float("nan")], [1.0, 2.0]])
async def test_a_failing_model_is_an_error_of_the_service(answer: Any) -> None:
    async with client(small(ScriptedScorer(answer))) as http:
        cohere = await http.post("/v2/rerank", json={"query": "a", "documents": ["a"]})
        tei = await http.post("/rerank", json={"query": "a", "texts": ["a"]})
    assert (cohere.status_code, tei.status_code, tei.json()["error_type"]) == (500, 424, "Backend")
    assert "scripted" in cohere.json()["message"]


async def test_what_gathers_while_a_batch_runs_is_scored_together_within_the_budget() -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=100, waiting_tokens=10_000)  # type: ignore[arg-type]  # a scorer by duck
    text = "x" * 4 * 28  # with its query and what stands around them 33 tokens by the estimate: three fit
    waiting = [asyncio.create_task(service.score("q", [f"0{text}"]))]
    await until(lambda: gate.batches)
    waiting += [asyncio.create_task(service.score("q", [f"{number}{text}"])) for number in range(1, 8)]
    await until(lambda: service.queue.waiting_tokens > 7 * 30)
    gate.open.set()
    answers = await asyncio.gather(*waiting)
    assert [len(answer) for answer in answers] == [1] * 8
    assert [len(batch) for batch in gate.batches] == [1, 3, 3, 1], "the first one found the scorer free"
    asked = [request.documents[0][0] for batch in gate.batches for request in batch]
    assert asked == list("01234567"), "first come, first served"


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
    assert [list(one) for one in (answers[0], answers[2])] == [  # type: ignore[arg-type]  # asserted to be scores
        pytest.approx([bundled.rank(QUERY, [text])[0].score], abs=1e-5) for text in ("pandas", "stocks")
    ]


async def test_too_much_waiting_is_429_with_retry_after_and_nothing_else_suffers() -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=1, waiting_tokens=50)  # type: ignore[arg-type]  # a scorer by duck
    async with client(service) as http:
        asked = {"query": "q", "documents": ["x" * 4 * 20]}
        running = [asyncio.create_task(http.post("/v2/rerank", json=asked))]
        await until(lambda: gate.batches)
        running += [asyncio.create_task(http.post("/v2/rerank", json=asked)) for _ in range(2)]
        await until(lambda: service.queue.waiting_tokens == 48)
        cohere = await http.post("/v2/rerank", json=asked)
        tei = await http.post("/rerank", json={"query": "q", "texts": asked["documents"]})
        assert (cohere.status_code, tei.status_code) == (429, 429)
        assert int(cohere.headers["retry-after"]) >= 1
        assert int(tei.headers["retry-after"]) >= 1
        assert tei.json()["error_type"] == "Overloaded"
        assert cohere.json()["message"].startswith("overloaded: about 48 tokens are waiting")
        gate.open.set()
        assert [answer.status_code for answer in await asyncio.gather(*running)] == [200] * 3
        assert (await http.post("/v2/rerank", json=asked)).status_code == 200, "room again"


async def test_a_caller_who_leaves_while_waiting_costs_nothing() -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=1, waiting_tokens=50)  # type: ignore[arg-type]  # a scorer by duck
    running = asyncio.create_task(service.score("q", ["a"]))
    await until(lambda: gate.batches)
    leaving, staying = [asyncio.create_task(service.score("q", [text])) for text in "bc"]
    await until(lambda: service.queue.waiting_tokens)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    gate.open.set()
    await asyncio.gather(running, staying)
    assert [request.documents[0] for batch in gate.batches for request in batch] == ["a", "c"]


def test_a_scale_without_relevance_is_refused_at_the_start() -> None:
    with pytest.raises(InputError, match="overlap scores on the ordinal scale, and this service's callers expect 0"):
        small(OverlapScorer(scale=Scale.ORDINAL))


def test_errors_are_of_the_family() -> None:
    assert str(BusyError("full", 3)) == "full"
    assert not issubclass(BusyError, ScorerError)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of the bundled model's service, ten documents a request."""
    with listening(RerankService(Reranker().scorer, batch_tokens=1000, waiting_tokens=10_000)) as url:
        yield url


@pytest.mark.parametrize("scheme", CLIENTS)
@pytest.mark.parametrize("count", [4, 33])  # more than ten, which tei: learns from /info and the others are told
async def test_our_own_client_ranks_as_the_model_here_does(served: str, scheme: str, count: int) -> None:
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
async def test_our_own_client_tells_what_the_service_refused(served: str, scheme: str, status: int) -> None:
    client = remote(scheme, served, batch_documents=20)
    for query, documents, said in [
        (QUERY, [f"panda {number}" for number in range(11)], "11 documents are more than the 10 of a request"),
        ("word " * 600, ["pandas"], "600 tokens"),
    ]:
        with pytest.raises(RemoteError, match=f"answered {status}: .*{said}") as caught:
            client.rank(query, documents)
        assert caught.value.status == status
        with pytest.raises(RemoteError, match=said):
            await client.arank(query, documents)
    await client.scorer.aclose()  # type: ignore[attr-defined]  # a RemoteScorer
    client.scorer.close()  # type: ignore[attr-defined]


@dataclass
class Draining(FakeClock):
    """Instead of waiting, lets the service work off what waits there."""

    gate: Gate = field(default_factory=Gate)
    ahead: list[Future[Any]] = field(default_factory=list)

    def sleep(self, seconds: float, halt: threading.Event) -> None:
        super().sleep(seconds, halt)
        self.gate.open.set()
        assert [answer.result(20).status_code for answer in self.ahead] == [200] * len(self.ahead)

    async def asleep(self, seconds: float) -> None:
        await asyncio.to_thread(self.sleep, seconds, threading.Event())


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("scheme", CLIENTS)
async def test_our_own_client_comes_back_after_a_429(scheme: str, awaited: bool) -> None:
    gate = Gate()
    service = RerankService(gate, batch_tokens=1, waiting_tokens=50)
    service.queue.seconds_per_character = 0.1 / 4  # so that it asks for another wait than the client's own, a second
    asked = {"query": "q", "documents": ["x" * 4 * 20]}
    with listening(service) as url, ThreadPoolExecutor() as threads:
        client = remote(scheme, url, max_retries=1)
        clock = client.scorer._client.clock = Draining(gate=gate)  # type: ignore[attr-defined]  # a RemoteScorer
        clock.ahead += [threads.submit(httpx.post, f"{url}/v2/rerank", json=asked, timeout=30)]
        await until(lambda: gate.batches)
        clock.ahead += [threads.submit(httpx.post, f"{url}/v2/rerank", json=asked, timeout=30) for _ in range(2)]
        await until(lambda: service.queue.waiting_tokens == 48)
        documents = ["a red fox", "a whale", "x" * 4 * 20]
        ranking = await client.arank("red fox", documents) if awaited else client.rank("red fox", documents)
        assert [hit.index for hit in ranking] == [0, 1, 2]
        assert clock.waits == [5.0], "the Retry-After"
        await client.scorer.aclose()  # type: ignore[attr-defined]
        client.scorer.close()  # type: ignore[attr-defined]
