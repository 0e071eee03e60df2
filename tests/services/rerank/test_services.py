"""Every service and server, by name, against a server on this machine that answers as it does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rerank_server import PATHS, Answer, RerankServer, logit, overlap

from resift import InputError, RemoteError, Reranker, Scale
from resift.cli.models import SCHEMES
from resift.scoring.load import ENGINES, load_scorer
from resift.services.rerank.known_services import SERVICES
from resift.services.rerank.scorer import RemoteScorer
from resift.testing import check_scorer

DOCUMENTS = ["a blue whale", "the red fox", "a red whale"]
LOGITS = {"tei", "vllm", "infinity", "llamacpp", "nim"}


@pytest.fixture(params=list(PATHS))
def server(request: pytest.FixtureRequest) -> Iterator[RerankServer]:
    with RerankServer(request.param, key="sk-test").running() as running:
        yield running


@pytest.fixture
def tei() -> Iterator[RerankServer]:
    with RerankServer("tei").running() as running:
        yield running


def remote(server: RerankServer, **options: object) -> RemoteScorer:
    scorer = load_scorer(f"{server.scheme}:some-model", base_url=server.url, **options)  # type: ignore[arg-type]
    assert isinstance(scorer, RemoteScorer)
    return scorer


async def test_conformance(server: RerankServer) -> None:
    scorer = remote(server, api_key="sk-test")
    check_scorer(scorer)
    reranker = Reranker(scorer)
    ranking = reranker.rank("red fox", DOCUMENTS)
    truth = logit if server.scheme in LOGITS else overlap
    assert [(hit.index, hit.score) for hit in ranking] == [
        (index, pytest.approx(truth("red fox", DOCUMENTS[index]))) for index in (1, 2, 0)
    ]
    assert ranking.scale is (Scale.LOGIT if server.scheme in LOGITS else Scale.PROBABILITY)
    assert all(0 <= (hit.relevance or 0) <= 1 for hit in ranking)
    assert (await reranker.arank("red fox", DOCUMENTS)).hits == ranking.hits
    assert ranking.stats.calls == 1
    assert ranking.stats.pairs == 3
    says_nothing = server.scheme == "contextual"
    assert says_nothing or ranking.stats.tokens > 0 or ranking.stats.billed == {"search_units": 1.0}
    assert {request.path for request in server.rerank_requests} == {server.path}
    await scorer.aclose()


def test_a_scorers_name_loads_the_same_scorer(server: RerankServer) -> None:
    scorer = remote(server, api_key="sk-test")
    again = Reranker(scorer.name, api_key="sk-test")
    assert again.scorer.name == scorer.name == f"{server.scheme}:{server.url}#some-model"
    assert again.rank("red fox", DOCUMENTS)[0].index == 1


def test_without_documents_no_request_is_sent(server: RerankServer) -> None:
    scorer = remote(server)
    assert list(scorer.score("red fox", [])) == []
    assert Reranker(scorer).rank("red fox", []).hits == ()
    assert server.requests == []


def test_every_document_comes_back_from_a_service_that_returns_ten_by_default(server: RerankServer) -> None:
    documents = [f"red {number}" for number in range(25)]
    assert len(remote(server, api_key="sk-test").score("red 7", documents)) == 25


def test_texts_of_all_kinds_arrive_unchanged(server: RerankServer) -> None:
    documents = ["Zürich naïve 東京", 'a "quoted" \\ line\nbreak', " emoji 🦊\n", "zero\u200b", "half a pair \ud800"]
    remote(server, api_key="sk-test").score("東京", documents)
    body = next(request.body for request in server.rerank_requests)
    sent = body.get("documents") or body.get("texts") or body.get("input") or body["passages"]
    assert [text["text"] if isinstance(text, dict) else text for text in sent] == [*documents[:4], "half a pair \ufffd"]


def test_requests_of_many_queries_run_together_and_keep_their_own_scores(tei: RerankServer) -> None:
    reranker = Reranker(f"tei:{tei.url}")
    queries = [f"red {number}" for number in range(6)]
    documents = [[f"red {number}", "blue"] for number in range(5)] + [[]]
    rankings = reranker.rank_many(queries, documents)
    assert [len(ranking) for ranking in rankings] == [2] * 5 + [0]
    assert all(ranking[0].index == 0 for ranking in rankings[:5])
    assert [ranking.stats.calls for ranking in rankings] == [1] * 5 + [0]


async def test_tei_is_asked_once_for_its_limit_and_gets_no_larger_request(tei: RerankServer) -> None:
    tei.always = lambda body: replace(tei.service(body), delay=0.05)
    scorer = remote(tei)
    documents = [f"red {number}" for number in range(100)]
    for scores in (scorer.score("red 70", documents), await scorer.ascore("red 70", documents)):
        assert list(scores) == [logit("red 70", text) for text in documents]
        assert scores.usage.calls == 4
    assert [request.path for request in tei.requests].count("/info") == 1
    assert sorted(len(request.body["texts"]) for request in tei.rerank_requests) == [4, 4, 32, 32, 32, 32, 32, 32]
    assert all(request.body["raw_scores"] and request.body["truncate"] for request in tei.rerank_requests)
    assert tei.most_open_requests > 1, "requests of one call run at the same time"


@pytest.mark.parametrize(
    ("info", "size"),
    [
        (Answer(body={"max_client_batch_size": 8}), 8),
        (Answer(404, b"not here"), 32),
        (Answer(body={"max_client_batch_size": "many"}), 32),
        (Answer(body=b"<html>"), 32),
    ],
)
def test_tei_without_usable_info_gets_its_default(tei: RerankServer, info: Answer, size: int) -> None:
    tei.info = info
    remote(tei).score("q", [str(number) for number in range(40)])
    assert max(len(request.body["texts"]) for request in tei.rerank_requests) == size


def test_tei_that_refuses_the_key_for_info_says_so(tei: RerankServer) -> None:
    tei.info = Answer(401, b"")
    with pytest.raises(RemoteError, match="answered 401") as caught:
        remote(tei).score("q", ["a"])
    assert caught.value.status == 401


@pytest.mark.parametrize("parallel", [1, 3])
async def test_parallel_requests_are_bounded(tei: RerankServer, parallel: int) -> None:
    tei.always = lambda body: Answer(body=[{"index": 0, "score": 0.0}], delay=0.02)
    scorer = remote(tei, parallel_requests=parallel, batch_documents=1)
    scorer.score("q", list("abcdefgh"))
    await scorer.ascore("q", list("abcdefgh"))
    assert len(tei.requests) == 16, "batch_documents makes /info unnecessary"
    assert tei.most_open_requests <= parallel


def test_long_texts_are_split_by_bytes() -> None:
    with RerankServer("voyage").running() as server:
        documents = ["red fox " * 20_000 for _ in range(9)] + ["東" * 190_000]
        scores = remote(server).score("red fox", [f"{number} {text}" for number, text in enumerate(documents)])
        assert list(scores[:9]) == [1.0] * 9
        assert [len(request.body["documents"]) for request in server.requests] != [10]
        assert all(len(request.body["documents"]) <= 3 for request in server.requests[:-1])


def test_ties_keep_the_services_order_and_duplicates_stay_together() -> None:
    with RerankServer("cohere").running() as server:
        # The service rounds scores after it has sorted by them.
        results = [
            {"index": index, "relevance_score": score} for index, score in ((2, 1.0), (0, 1.0), (3, 0.5), (1, 0.5))
        ]
        server.always = Answer(body={"results": results})
        reranker = Reranker("cohere:m", base_url=server.url)
        assert [hit.index for hit in reranker.rank("q", list("abcd"))] == [2, 0, 3, 1]
        assert [hit.index for hit in reranker.rank("q", ["a", "b", "c", "a", "d", "c"])] == [2, 5, 0, 3, 4, 1]


def test_ties_across_requests_keep_the_first_stages_order() -> None:
    with RerankServer("jina").running() as server:
        reranker = Reranker("jina:m", base_url=server.url, batch_documents=2, parallel_requests=1)
        ranking = reranker.rank("q", ["a", "b", "c", "d"])
        assert [hit.index for hit in ranking] == [1, 0, 3, 2], (
            "within a request the server's order, which is backwards here"
        )


@pytest.mark.parametrize(
    ("name", "base_url", "path"),
    [
        ("vllm:{url}", None, "/v1/rerank"),
        ("vllm:{url}/", None, "/v1/rerank"),
        ("vllm:{url}/v1", None, "/v1/rerank"),
        ("vllm:m", "{url}/proxy/v1/rerank", "/proxy/v1/rerank"),
        ("cohere:m", "{url}/v2", "/v2/rerank"),
        ("infinity:{url}/v1#m", None, "/v1/rerank"),
        ("tei:m", "{url}/tei", "/tei/rerank"),
        ("nim:m", "{url}", "/v1/ranking"),
        ("compatible:{url}/api/rerank#m", None, "/api/rerank"),
    ],
)
def test_addresses(name: str, base_url: str | None, path: str) -> None:
    scheme = name.partition(":")[0]
    with RerankServer(scheme).running() as server:
        server.path = path
        options = {} if base_url is None else {"base_url": base_url.format(url=server.url)}
        Reranker(name.format(url=server.url), **options).rank("red", ["red fox"])  # type: ignore[arg-type]
        assert server.rerank_requests[0].path == path
        has_model = "#m" in name or base_url is not None
        assert server.rerank_requests[0].body.get("model") == ("m" if has_model and scheme != "tei" else None)


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("cohere:rerank-v3.5", "https://api.cohere.com/v2/rerank"),
        ("jina:jina-reranker-v2-base-multilingual", "https://api.jina.ai/v1/rerank"),
        ("voyage:rerank-2.5", "https://api.voyageai.com/v1/rerank"),
        ("mixedbread:mixedbread-ai/mxbai-rerank-large-v2", "https://api.mixedbread.com/v1/reranking"),
        (
            "nim:nvidia/llama-3.2-nv-rerankqa-1b-v2",
            "https://ai.api.nvidia.com/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking",
        ),
    ],
)
def test_endpoints_of_services(name: str, endpoint: str) -> None:
    scorer = load_scorer(name, api_key="sk-test")
    assert scorer.name == name
    assert scorer._address.endpoint == endpoint  # type: ignore[attr-defined]


def test_voyage_keys_of_mongodb_go_to_mongodb() -> None:
    scorer = load_scorer("voyage:rerank-2.5", api_key="al-test")
    assert scorer._address.endpoint == "https://ai.mongodb.com/v1/rerank"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cohere:", {}, "which model of Cohere"),
        ("cohere:http://localhost:1", {}, "which model of Cohere"),
        ("vllm:some-model", {}, "where is the server of vllm:some-model.*http://HOST:PORT#some-model"),
        ("tei:", {}, "where is the server"),
        ("tei:http://localhost:1", {"base_url": "http://localhost:2"}, "URL already"),
        ("tei:http://", {}, "no URL of a server"),
        ("tei:http://host:port", {}, "no URL of a server"),
        ("vllm:m", {"base_url": "localhost:8000"}, "should look like http://"),
        ("tei:http://user:hunter2@host", {}, "http://host: a URL with a user"),
        ("tei:http://host/?key=hunter2", {}, "http://host: a URL with a user"),
        ("vllm:m", {"base_url": "user:hunter2@host"}, "no URL of a server"),
        ("tei:http://host", {"timeout": 0}, "timeout must be"),
        ("tei:http://host", {"total_timeout": -1.0}, "total_timeout must be"),
        ("tei:http://host", {"max_retries": -1}, "max_retries"),
        ("tei:http://host", {"parallel_requests": 0}, "parallel_requests"),
        ("tei:http://host", {"batch_documents": 0}, "batch_documents"),
        ("tei:http://host", {"scale": "cosine"}, "scale is one of logit, probability"),
        ("tei:http://host", {"threads": 1}, "has no option threads; it has base_url"),
    ],
)
def test_impossible_names_and_options_are_refused_at_once(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Reranker(name, **options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_scales() -> None:
    key = {"api_key": "sk-test"}
    assert load_scorer("jina:jina-reranker-v3", **key).scale is Scale.SIMILARITY  # type: ignore[arg-type]
    assert load_scorer("jina:jina-reranker-v2-base-multilingual", **key).scale is Scale.PROBABILITY  # type: ignore[arg-type]
    assert load_scorer("compatible:http://host", scale="logit").scale is Scale.LOGIT
    with RerankServer("compatible").running() as server:
        server.always = Answer(body={"results": [{"index": 0, "relevance_score": 4.5}]})
        with pytest.raises(RemoteError, match=r"score of 4\.5 for document 0.*say scale='logit'"):
            Reranker(f"compatible:{server.url}").rank("q", ["a"])
        hit = Reranker(f"compatible:{server.url}", scale="logit").rank("q", ["a"])[0]
        assert hit.relevance == 1 / (1 + math.exp(-4.5))


def test_every_service_has_an_engine_and_a_line_in_resift_models() -> None:
    assert set(SERVICES) == {
        scheme for scheme, engine in ENGINES.items() if engine.startswith("resift.services.rerank.factories:")
    }
    assert set(SERVICES) <= set(SCHEMES)
    assert set(SERVICES) == set(PATHS), "and a server in these tests"
