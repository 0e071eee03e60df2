"""What a service refuses, and how: keys, models, deadlines, a client that is gone, a service that stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from resift import Fallback, Reranker, Scale
from resift._util.secret import ApiKey
from resift.scorer import Request
from resift.serving.asgi import ServiceOptions, application
from resift.serving.service import RerankService
from resift.testing import OverlapScorer

BODY = {"query": "red fox", "documents": ["a whale", "a red fox"]}
TEI_BODY = {"query": "red fox", "texts": ["a whale", "a red fox"]}
ROUTES = [("/v2/rerank", BODY), ("/v1/rerank", BODY), ("/rerank", TEI_BODY)]
MESSAGE = {"/v2/rerank": "message", "/v1/rerank": "detail", "/rerank": "error"}
KEY = "sk-of-the-service"


@dataclass
class Gate:
    """A scorer that waits for `open`, and keeps the queries it was asked."""

    name: str = "gate"
    scale: Scale = Scale.PROBABILITY
    open: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    queries: list[str] = field(default_factory=list)

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[list[float]]:
        self.queries += [query for query, _ in requests]
        self.entered.set()
        assert self.open.wait(20)
        return [OverlapScorer().score(query, documents) for query, documents in requests]


def app_of(scorer: Any, **options: Any) -> Any:
    return application(RerankService(scorer, batch_tokens=1000, waiting_tokens=10_000), ServiceOptions(**options))


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


async def counts(http: httpx.AsyncClient, **headers: str) -> dict[tuple[str, ...], float]:
    page = (await http.get("/metrics", headers=headers)).text
    return {
        (sample.name, *(sample.labels[name] for name in ("route", "outcome") if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.mark.parametrize(("route", "body"), ROUTES)
async def test_without_the_key_nothing_but_health_is_answered(route: str, body: Any) -> None:
    async with client(app_of(OverlapScorer(), api_key=ApiKey(KEY))) as http:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": KEY},
            {"Authorization": f"Basic {KEY}"},
        ):
            refused = await http.post(route, json=body, headers=headers)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "needs its key" in refused.json()[MESSAGE[route]]
            for page in ("/info", "/metrics", "/v1/models", "/openapi.json"):
                assert (await http.get(page, headers=headers)).status_code == 401
        assert (await http.get("/health")).status_code == 200
        allowed = {"Authorization": f"bearer {KEY}"}
        assert (await http.post(route, json=body, headers=allowed)).status_code == 200
        found = await counts(http, **allowed)
        assert found["resift_requests_total", route, "unauthorized"] == 4
        assert found["resift_requests_total", route, "ok"] == 1
        assert KEY not in (await http.get("/openapi.json", headers=allowed)).text


@pytest.mark.parametrize("route", ["/v2/rerank", "/v1/rerank"])
async def test_a_model_of_another_name_is_refused_where_names_are_given(route: str) -> None:
    async with client(app_of(OverlapScorer(), model_names=("ours", "rerank-v3.5"))) as http:
        assert [model["id"] for model in (await http.get("/v1/models")).json()["data"]] == ["ours", "rerank-v3.5"]
        for name in ("ours", "rerank-v3.5", None):
            assert (await http.post(route, json={**BODY, "model": name})).status_code == 200
        refused = await http.post(route, json={**BODY, "model": "theirs"})
        assert (refused.status_code, refused.json()[MESSAGE[route]]) == (
            404,
            "there is no model 'theirs' here, only ours, rerank-v3.5",
        )
    async with client(app_of(OverlapScorer())) as http:
        assert (await http.post(route, json={**BODY, "model": "theirs"})).status_code == 200


@pytest.mark.parametrize(("route", "body"), ROUTES)
async def test_a_request_that_takes_longer_than_its_client_waits(route: str, body: Any) -> None:
    gate = Gate()
    async with client(app_of(gate)) as http:
        late = await http.post(route, json=body, headers={"X-Request-Timeout": "0.05"})
        assert late.status_code == 504
        assert late.json()[MESSAGE[route]] == "not scored within the 0.05 s of x-request-timeout"
        gate.open.set()
        assert (await http.post(route, json=body, headers={"X-Request-Timeout": "20"})).status_code == 200
        for value in ("soon", "-1", "0", "nan", "inf"):
            refused = await http.post(route, json=body, headers={"X-Request-Timeout": value})
            assert (refused.status_code, value in refused.json()[MESSAGE[route]]) == (
                422 if route == "/rerank" else 400,
                True,
            )


async def test_what_a_client_asked_that_is_gone_is_not_scored() -> None:
    gate = Gate()
    app = app_of(gate)
    async with client(app) as http:
        first = asyncio.create_task(http.post("/v2/rerank", json=BODY))
        await asyncio.to_thread(gate.entered.wait, 20)
        sent: list[Any] = []
        messages = [
            {"type": "http.request", "body": b'{"query": "gone", "documents": ["a"]}'},
            {"type": "http.disconnect"},
        ]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v2/rerank", "headers": [], "query_string": b""}
        await app(scope, receive, send)
        assert sent[0]["status"] == 499
        gate.open.set()
        assert (await first).status_code == 200
        assert (await http.post("/v2/rerank", json=BODY)).status_code == 200
        assert gate.queries == ["red fox", "red fox"]
        assert (await counts(http))["resift_requests_total", "/v2/rerank", "client_gone"] == 1


async def test_a_service_that_stops_finishes_what_is_in_flight_and_refuses_the_rest() -> None:
    gate = Gate()
    app = app_of(gate)
    async with client(app) as http:
        running = asyncio.create_task(http.post("/v2/rerank", json=BODY))
        await asyncio.to_thread(gate.entered.wait, 20)
        assert app.state.in_flight.count == 1
        app.state.in_flight.stopping = True
        for route, body in ROUTES:
            refused = await http.post(route, json=body)
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert (await http.get("/health")).status_code == 503
        gate.open.set()
        assert (await running).status_code == 200
        assert app.state.in_flight.count == 0


@pytest.mark.parametrize(("route", "body"), ROUTES)
async def test_a_request_that_the_end_cuts_off_is_told_so(route: str, body: Any) -> None:
    gate = Gate()
    app = app_of(gate)
    async with client(app) as http:
        running = asyncio.create_task(http.post(route, json=body))
        await asyncio.to_thread(gate.entered.wait, 20)
        app.state.in_flight.stopping = True
        running.cancel()  # as the server does when the time for requests in flight is over
        cut_off = await running
        assert (cut_off.status_code, cut_off.headers["Retry-After"]) == (503, "1")
        assert "stopped before" in cut_off.json()[MESSAGE[route]]
        assert (await counts(http))["resift_requests_total", route, "unavailable"] == 1
        gate.open.set()


async def test_a_cancelled_request_stays_cancelled_where_the_service_goes_on() -> None:
    gate = Gate()
    app = app_of(gate)
    async with client(app) as http:
        running = asyncio.create_task(http.post("/v2/rerank", json=BODY))
        await asyncio.to_thread(gate.entered.wait, 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        gate.open.set()
        assert app.state.in_flight.count == 0


async def test_metrics_count_what_was_scored() -> None:
    long = ["bamboo " * 2000, "Pandas eat bamboo."]
    async with client(app_of(Reranker(long_documents="truncate").scorer)) as http:
        assert (
            await http.post("/v2/rerank", json={"query": "what eats bamboo?", "documents": long})
        ).status_code == 200
        assert (await http.post("/v2/rerank", json={"query": "", "documents": long})).status_code == 400
        found = await counts(http)
    assert found["resift_documents_total",] == found["resift_pairs_total",] == 2
    assert found["resift_truncated_total",] == 1
    assert found["resift_tokens_total",] > 256
    assert found["resift_requests_total", "/v2/rerank", "invalid"] == 1
    assert found["resift_request_seconds_count", "/v2/rerank"] == 2
    assert found["resift_queue_tokens_count",] == 2
    assert found["resift_requests_in_flight",] == 0


async def test_a_fallback_is_counted_and_told() -> None:
    class Broken(OverlapScorer):
        def score(self, query: str, documents: Sequence[str]) -> list[float]:
            raise RuntimeError("down")

    async with client(app_of(Fallback([Broken(), OverlapScorer()]))) as http:
        answer = (await http.post("/v2/rerank", json=BODY)).json()
        assert any("down" in warning for warning in answer["meta"]["warnings"])
        assert (await counts(http))["resift_degraded_total",] == 1


async def test_the_rerank_route_takes_vllms_requests_too() -> None:
    async with client(app_of(OverlapScorer())) as http:
        vllm = (await http.post("/rerank", json={"model": "any", **BODY})).json()
        assert [row["index"] for row in vllm["results"]] == [1, 0]
        neither = await http.post("/rerank", json={"query": "red fox"})
        assert (neither.status_code, neither.json()["error"]) == (422, "texts: Field required")
        for wrong, problem in (
            ({"top_n": 0}, "top_n: Input should be greater than or equal to 1"),
            ({"documents": []}, "documents: List should have at least 1 item after validation, not 0"),
            ({"model": 3}, "model: Input should be a valid string"),
        ):
            refused = await http.post("/rerank", json={**BODY, **wrong})
            assert (refused.status_code, refused.json()["error"]) == (422, problem)


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_the_front_page_says_what_this_is(path: str) -> None:
    async with client(app_of(OverlapScorer())) as http:
        page = (await http.get(path)).json()
        assert page["model"] == "overlap"
        assert set(page["routes"]) >= {*(f"POST {route}" for route, _ in ROUTES), "GET /health", "GET /openapi.json"}
        for line in page["routes"]:
            method, route = line.split()
            assert (await http.request(method, route, content=b"")).status_code != 404
        (line, example), *_ = page["example"].items()
        assert (await http.request(*line.split(), json=example)).status_code == 200
        browser = await http.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
        assert browser.headers["Content-Type"].startswith("text/html")
        assert "/v2/rerank" in browser.text
        assert "It runs overlap." in browser.text
    async with client(app_of(OverlapScorer(), api_key=ApiKey(KEY))) as http:
        page = (await http.get(path)).json()
        assert page["needs_key"] is True
        assert not {"model", "version"} & set(page), "those are for who has the key"
        assert "overlap" not in (await http.get(path, headers={"Accept": "text/html"})).text


async def test_what_is_no_route_is_told_in_json() -> None:
    async with client(app_of(OverlapScorer())) as http:
        for path in ("/nothing", "/v3/rerank", "/%ff"):
            lost = await http.post(path, json=BODY)
            assert (lost.status_code, lost.json()["error"].partition(";")[2]) == (404, " / lists the routes")
        for route, message in MESSAGE.items():
            refused = await http.get(route)
            assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
            assert refused.json()[message] == f"{route} takes POST, not GET"
        assert (await http.post("/info")).json()["error"].endswith(", not POST")
        assert (await http.head("/nothing")).status_code == 404


async def test_the_openapi_document_names_every_route() -> None:
    async with client(app_of(OverlapScorer())) as http:
        document = (await http.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method in methods:
                assert (await http.request(method, path, content=b"")).status_code != 404
    assert {"/v2/rerank", "/v1/rerank", "/rerank", "/metrics", "/health"} <= set(document["paths"])
    assert {"200", "400", "401", "404", "408", "413", "429", "503", "504"} <= set(
        document["paths"]["/v2/rerank"]["post"]["responses"]
    )
    assert "CohereRequest" in document["components"]["schemas"]
