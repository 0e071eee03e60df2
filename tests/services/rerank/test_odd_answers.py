"""Whatever a service answers, the outcome is a right result or a RemoteError: never another error, never a NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from fake_clock import FakeClock
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rerank_server import Answer, RerankServer

from resift import RemoteError, Reranker
from resift.services.http.response import HttpResponse, error_message
from resift.services.http.retry import retry_delay
from resift.services.http.steps import Failure, Send
from resift.services.llm.endpoint import OpenAiEndpoint
from resift.services.llm.prompts import judging_prompt
from resift.services.rerank.scorer import RemoteScorer

DOCUMENTS = ["red", "blue", "green"]
HUGE = 10**4000
TOO_DEEP = 100_000

numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([HUGE, -HUGE, 2**63, 2**1024, 1e308, 5e-324, -0.0, 1 + 1e-7, True, False, "1", None])
)
leaves = numbers | st.text(st.characters(), max_size=20) | st.just("\ud800")
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["message", "error", "detail", "msg", "title", "usage"]) | st.text(), inner)
    ),
    max_leaves=8,
)
results = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.sampled_from([0, 1, 2, 3, -1, HUGE, 1.0, None]) | values,
            "relevance_score": numbers | values,
            "score": numbers,
            "logit": numbers,
        },
    )
    | values,
    max_size=4,
)
right_indices = st.permutations(range(3)).flatmap(
    lambda order: st.tuples(*(numbers for _ in order)).map(
        lambda scores: [
            {"index": index, "relevance_score": score, "score": score, "logit": score}
            for index, score in zip(order, scores, strict=True)
        ]
    )
)
usages = st.fixed_dictionaries({}, optional={"total_tokens": numbers | values, "prompt_tokens": numbers}) | values
metas = (
    st.fixed_dictionaries(
        {},
        optional={
            "billed_units": st.dictionaries(st.text(max_size=5), numbers | values, max_size=3) | values,
            "tokens": st.fixed_dictionaries({}, optional={"input_tokens": numbers | values}) | values,
        },
    )
    | values
)
lists = results | right_indices
answers = (
    st.fixed_dictionaries(
        {}, optional={"results": lists, "data": lists, "rankings": lists, "usage": usages, "meta": metas}
    )
    | lists
    | values
)
bodies = answers.map(lambda answer: json.dumps(answer).encode()) | st.binary(max_size=50)
cut_bodies = st.tuples(bodies, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "Xyz", ""]),
    *(st.integers(-1, 10**12) | st.integers(0, 31) for _ in range(1)),
    st.sampled_from(["Jan", "Feb", "Dec", "Foo"]),
    st.sampled_from([0, 1, 69, 1900, 9999, 10**5, 10**30]) | st.integers(-1, 10**12),
    *(st.integers(0, 61) | st.integers(-1, 10**12) for _ in range(3)),
    st.sampled_from(["GMT", "-0000", "+0000", "+9999", "-9999", "+99999999999999999999", "EST", ""]),
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-compute-tokens", "content-type"]),
    dates | numbers.map(str) | st.text(max_size=30) | st.sampled_from(["9" * 5000, "1e400", "-1", "inf", "nan"]),
)

often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["cohere", "jina", "voyage", "tei", "nim"])
def scorer(request: pytest.FixtureRequest) -> RemoteScorer:
    return remote(request.param)


def remote(scheme: str) -> RemoteScorer:
    scorer = RemoteScorer(scheme, "m", base_url="http://localhost:1", batch_documents=10, max_retries=1)
    scorer._client.clock = FakeClock()
    return scorer


def answer_with(scorer: RemoteScorer, response: HttpResponse | Failure) -> None:
    def send(step: Send) -> HttpResponse | Failure:
        return response

    scorer._client._send = send  # type: ignore[method-assign]


def check_outcome(scorer: RemoteScorer) -> None:
    """Rank, and accept a right ranking or a RemoteError whose message can be shown."""
    try:
        ranking = Reranker(scorer).rank("red", DOCUMENTS)
    except RemoteError as error:
        message = str(error)
        assert message.startswith(scorer.name)
        assert len(message.encode()) < 2000
        return
    assert sorted(hit.index for hit in ranking) == [0, 1, 2]
    assert all(math.isfinite(hit.score) for hit in ranking)
    assert [hit.score for hit in ranking] == sorted((hit.score for hit in ranking), reverse=True)
    assert 0 <= ranking.stats.tokens < 2**63
    assert all(math.isfinite(amount) for amount in ranking.stats.billed.values())


@given(status=st.sampled_from([200, 200, 200, 201, 400, 401, 307, 429, 503]), headers=headers, body=bodies | cut_bodies)
@example(200, {}, b"[" * TOO_DEEP)
@example(200, {}, b'{"results": [{"index": 0, "relevance_score": %s1}]}' % (b"9" * 5000))
@example(200, {}, b'{"error":' * 500 + b'"deep"' + b"}" * 500)
@example(400, {}, b'{"error":' * 900 + b'"deep"' + b"}" * 900)
@example(200, {}, b'{"results": [' + b"[" * 900 + b"]" * 900 + b"]}")
@example(200, {"x-compute-tokens": "9" * 5000}, json.dumps([{"index": i, "score": 0.5} for i in range(3)]).encode())
@often
def test_every_answer_is_a_result_or_a_remote_error(
    scorer: RemoteScorer, status: int, headers: dict[str, str], body: bytes
) -> None:
    answer_with(scorer, HttpResponse(status, headers, body))
    check_outcome(scorer)


@pytest.mark.parametrize("score", ["1" + "0" * 400, "-1" + "0" * 400, "1" + "0" * 5000, "1e400", "NaN", "-Infinity"])
@pytest.mark.parametrize("scheme", ["cohere", "tei"])
def test_a_score_that_no_float_holds(scheme: str, score: str) -> None:
    scorer = remote(scheme)
    field, start = ("relevance_score", '{"results": [') if scheme == "cohere" else ("score", "[")
    scores = [score, "0.5", "0.25"]
    results = ", ".join(f'{{"index": {index}, "{field}": {score}}}' for index, score in enumerate(scores))
    answer_with(scorer, HttpResponse(200, {}, f"{start}{results}{']}' if scheme == 'cohere' else ']'}".encode()))
    with pytest.raises(RemoteError, match=f"a {field} that is no number for document 0|no JSON"):
        Reranker(scorer).rank("red", DOCUMENTS)


@pytest.mark.parametrize("usage", [10**400, -(10**400), -5, 1e300, "many", [1], {"a": 1}, None, True])
def test_a_usage_that_cant_be_is_left_out(usage: Any) -> None:
    results = [{"index": index, "relevance_score": 0.5} for index in range(3)]
    for extra in ({"usage": {"total_tokens": usage}}, {"meta": {"tokens": {"input_tokens": usage}}}):
        scorer = remote("jina")
        answer_with(scorer, HttpResponse(200, {}, json.dumps({"results": results, **extra}).encode()))
        assert Reranker(scorer).rank("red", DOCUMENTS).stats.tokens == 0
    scorer = remote("cohere")
    meta = {"billed_units": {"search_units": usage, "other": 2}}
    answer_with(scorer, HttpResponse(200, {}, json.dumps({"results": results, "meta": meta}).encode()))
    assert Reranker(scorer).rank("red", DOCUMENTS).stats.billed["other"] == 2.0


@pytest.mark.parametrize("depth", [10, 500, 2000, TOO_DEEP])
@pytest.mark.parametrize("status", [200, 400, 503])
def test_an_error_object_of_any_depth(status: int, depth: int) -> None:
    body = b'{"error":' * depth + b'"no such model"' + b"}" * depth
    for scheme in ("cohere", "tei"):
        scorer = remote(scheme)
        answer_with(scorer, HttpResponse(status, {}, body))
        with pytest.raises(RemoteError, match=r'\{"error":\{"error":') as caught:
            Reranker(scorer).rank("red", DOCUMENTS)
        assert caught.value.status == status


def test_a_message_is_found_in_objects_and_lists() -> None:
    body = json.dumps({"detail": [{"loc": ["a"], "error": {"message": ["no such model", "\ud83d"]}}]}).encode()
    assert error_message(HttpResponse(400, {}, body)) == "no such model; \ufffd"


@given(headers=headers, attempt=st.integers(0, 10**6))
@example({"retry-after": "Mon, 01 Jan 0001 00:00:00 -0000"}, 0)
@example({"retry-after": "Mon, 01 Jan 9999 23:59:59 -9999"}, 0)
@example({"retry-after": f"Mon, 01 Jan {10**30} 00:00:00 GMT"}, 0)
@example({"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"}, 0)
@example({}, 5000)
@often
def test_every_wait_is_between_nothing_and_a_little_more_than_a_minute(headers: dict[str, str], attempt: int) -> None:
    assert 0 < retry_delay(headers, attempt, FakeClock()) <= 72


@pytest.fixture(scope="module")
def server() -> Iterator[RerankServer]:
    with RerankServer("cohere").running() as running:
        yield running


@pytest.fixture(scope="module")
def over_http(server: RerankServer) -> Iterator[RemoteScorer]:
    with RemoteScorer("cohere", "m", base_url=server.url, max_retries=1) as scorer:
        scorer._client.clock = FakeClock()
        yield scorer


@given(
    headers=st.dictionaries(
        st.sampled_from(["Location", "Set-Cookie", "Retry-After", "Content-Type", "WWW-Authenticate", "Link"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
        | st.sampled_from(
            [
                "http://[",
                "http://a:99999999/",
                "//\x80/",
                "a=b; expires=Mon, 99-Foo-99999 99:99:99",
                "text/x; charset=?",
            ]
        ),
        max_size=3,
    ),
    status=st.sampled_from([200, 299, 301, 302, 307, 400, 429, 599]),
)
@example({"Set-Cookie": "\x80"}, 429)
@example({"Set-Cookie": "a=\x80"}, 429)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_headers_over_http(
    server: RerankServer, over_http: RemoteScorer, headers: dict[str, str], status: int
) -> None:
    server.always = Answer(status, {"results": [{"index": i, "relevance_score": 0.5} for i in range(3)]}, headers)
    check_outcome(over_http)


completions = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {"message": st.fixed_dictionaries({"content": st.text(max_size=20) | values}) | values}
            )
            | values,
            max_size=2,
        )
    },
    optional={
        "usage": st.fixed_dictionaries({}, optional={"total_tokens": numbers, "prompt_tokens": numbers}) | values
    },
)


@given(body=(completions | values).map(lambda answer: json.dumps(answer).encode()) | st.binary(max_size=50))
@example(b'{"choices": [{"message": {"content": "7"}}], "usage": {"total_tokens": 1e999}}')
@example(b'{"choices": [{"message": {"content": ["7"]}}]}')
@example(b'{"error":' * 900 + b'"deep"' + b"}" * 900)
@often
def test_every_chat_completion_is_an_answer_or_a_remote_error(body: bytes) -> None:
    endpoint = OpenAiEndpoint("m", base_url="http://localhost:1")
    endpoint._client._send = lambda step: HttpResponse(200, {}, body)  # type: ignore[method-assign]
    try:
        answer = endpoint.ask(judging_prompt("red", "red", "?"))
    except RemoteError:
        return
    assert isinstance(answer.text, str)
    assert 0 <= answer.tokens < 2**63


@pytest.mark.parametrize("seconds", [1e9, 1e300, 10**9])
async def test_a_timeout_of_any_length_can_be_waited_for(server: RerankServer, seconds: float) -> None:
    server.always = None
    async with RemoteScorer("cohere", "m", base_url=server.url, timeout=seconds, total_timeout=seconds) as scorer:
        assert list(scorer.score("red", ["red"])) == [1.0]
        assert list(await scorer.ascore("red", ["red"])) == [1.0]
