"""LLMs of every kind: LangChain's and LlamaIndex's own test models, and a real local server of chat completions."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from chat_server import Reply, completion, serving
from fake_clock import FakeClock
from langchain_core.language_models import FakeListChatModel, FakeListLLM, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from pydantic import SecretStr

from resift import InputError, RemoteError, Reranker, ScorerError
from resift.llm import LlmScorer
from resift.services.llm.chat import count_tokens
from resift.services.llm.endpoint import OpenAiEndpoint

QUERY = "what eats bamboo?"
DOCUMENTS = ["Stocks fell.", "Pandas eat bamboo."]
USAGE = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
SECRET = "sk-very-secret"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Pauses take no time."""
    clock = FakeClock()
    monkeypatch.setattr("resift.services.llm.endpoint.Clock", lambda: clock)
    return clock


# LangChain


class Recording(GenericFakeChatModel):
    """A model that keeps the messages it gets."""

    seen: list[Sequence[BaseMessage]] = []  # noqa: RUF012 - a pydantic field, copied for each model

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.seen.append(messages)
        return super()._generate(messages, *args, **kwargs)


def message(text: Any, tokens: int = 0) -> AIMessage:
    usage = {"input_tokens": tokens - 5, "output_tokens": 5, "total_tokens": tokens} if tokens else None
    return AIMessage(content=text, usage_metadata=usage)


async def test_a_langchain_chat_model() -> None:
    model = Recording(messages=iter([message("[2] > [1]", 100)] * 2))
    ranking = Reranker(LlmScorer(model)).rank(QUERY, DOCUMENTS)
    assert ranking.documents == DOCUMENTS[::-1]
    assert (ranking.stats.calls, ranking.stats.tokens, ranking.degraded) == (1, 100, None)
    assert [message.type for message in model.seen[0]] == ["system", "human"]
    assert "Pandas eat bamboo." in str(model.seen[0][1].content)
    again = await Reranker(LlmScorer(model)).arank(QUERY, DOCUMENTS)
    assert again.documents == ranking.documents
    assert ranking.model == "Recording (listwise)"


def test_langchain_content_blocks() -> None:
    blocks = [{"type": "reasoning", "reasoning": "[1] first?"}, {"type": "text", "text": "[2] > "}, "[1]"]
    model = GenericFakeChatModel(messages=iter([message(blocks)]))
    assert Reranker(LlmScorer(model)).rank(QUERY, DOCUMENTS).documents == DOCUMENTS[::-1]


def test_langchain_chains_and_plain_llms() -> None:
    for model in (FakeListChatModel(responses=["[2] > [1]"]) | StrOutputParser(), FakeListLLM(responses=["[2] > [1]"])):
        ranking = Reranker(LlmScorer(model)).rank(QUERY, DOCUMENTS)
        assert (ranking.documents, ranking.stats.tokens) == (DOCUMENTS[::-1], 0)


async def test_a_langchain_model_that_fails() -> None:
    model = GenericFakeChatModel(messages=iter([]))
    with pytest.raises(ScorerError, match="GenericFakeChatModel"):
        await Reranker(LlmScorer(model)).arank(QUERY, DOCUMENTS)
    with pytest.raises(ScorerError, match="GenericFakeChatModel"):
        Reranker(LlmScorer(model)).rank(QUERY, DOCUMENTS)


# LlamaIndex


class Panda(CustomLLM):
    """An LLM that knows what eats bamboo, and reports its usage as providers do."""

    raw: Any = None
    details: dict[str, Any] = {}  # noqa: RUF012 - a pydantic field, copied for each model

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="panda-1")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        assert type(prompt) is str
        return CompletionResponse(
            text="9" if "<passage [" not in prompt and "Pandas" in prompt else "[2] > [1]",
            raw=self.raw,
            additional_kwargs=self.details,
        )

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise AssertionError("no stream is wanted")


@pytest.mark.parametrize(
    "reported", [{"raw": {"usage": USAGE}}, {"details": USAGE}, {"raw": SecretStr("x"), "details": USAGE}]
)
async def test_a_llama_index_llm(reported: dict[str, Any]) -> None:
    reranker = Reranker(LlmScorer(Panda(**reported)))
    ranking = reranker.rank(QUERY, DOCUMENTS)
    assert (ranking.documents, ranking.model) == (DOCUMENTS[::-1], "panda-1 (listwise)")
    assert (ranking.stats.calls, ranking.stats.tokens) == (1, 100)
    assert (await reranker.arank(QUERY, DOCUMENTS)).hits == ranking.hits
    graded = LlmScorer(Panda(), method="pointwise").score(QUERY, DOCUMENTS)
    assert graded.values == (-1.0, 9.0), "[2] > [1] is no grade"


def test_llama_index_s_mock_llm() -> None:
    # It says "text text".
    ranking = Reranker(LlmScorer(MockLLM(max_tokens=2))).rank(QUERY, DOCUMENTS)
    assert (ranking.documents, ranking.stats.calls) == (DOCUMENTS, 1)
    assert "2 of 2 passages missing" in str(ranking.degraded)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (USAGE, 100),
        ({"prompt_tokens": 3, "completion_tokens": None}, 3),
        ({"input_tokens": 3, "output_tokens": 4}, 7),
        ({"prompt_token_count": 3, "candidates_token_count": 4}, 7),
        ({}, 0),
        (None, 0),
    ],
)
def test_usage_under_every_name(usage: Any, tokens: int) -> None:
    assert count_tokens(usage) == tokens


# An endpoint


def endpoint(url: str, **options: Any) -> Reranker:
    return Reranker("openai:panda-2", base_url=url, **options)


async def test_an_endpoint_by_name() -> None:
    with serving(lambda _: completion("[2] > [1]", USAGE)) as server:
        reranker = endpoint(server.url + "/", api_key=SECRET)
        ranking = reranker.rank(QUERY, DOCUMENTS)
        again = await reranker.arank(QUERY, DOCUMENTS)
    assert (ranking.documents, ranking.model) == (DOCUMENTS[::-1], "openai:panda-2 (listwise)")
    assert (ranking.stats.calls, ranking.stats.tokens) == (1, 100)
    assert again.hits == ranking.hits
    assert server.paths == ["/v1/chat/completions"] * 2
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    (request, same) = server.requests
    assert request == same
    assert (request["model"], request["temperature"]) == ("panda-2", 0)
    assert [message["role"] for message in request["messages"]] == ["system", "user"]


def test_options_reach_the_llm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\n")
    with serving(lambda _: completion("7")) as server:
        reranker = endpoint(server.url, method="pointwise", temperature=None, timeout=5)
        assert [hit.score for hit in reranker.rank(QUERY, DOCUMENTS)] == [7, 7]
        endpoint(server.url, api_key="").rank(QUERY, DOCUMENTS, top_k=1)
        endpoint(server.url, api_key=SecretStr(SECRET)).rank(QUERY, DOCUMENTS)
    assert "temperature" not in server.requests[0]
    keys = [headers.get("authorization") for headers in server.headers]
    assert keys == [f"Bearer {SECRET}", f"Bearer {SECRET}", None, f"Bearer {SECRET}"]
    with pytest.raises(InputError, match="has no option threads"):
        endpoint(server.url, threads=2)


async def test_parallel_calls_are_bounded() -> None:
    gate = threading.Event()

    def reply(_: dict[str, Any]) -> Reply:
        if server.most_open_requests == 3:
            gate.set()
        return completion("5")._replace(wait=gate)

    with serving(reply) as server:
        scorer = LlmScorer(OpenAiEndpoint("panda-2", server.url), method="pointwise", parallel=3)
        ranking = await Reranker(scorer).arank(QUERY, list("abcdefg"))
    assert (len(ranking), server.most_open_requests, len(server.requests)) == (7, 3, 7)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 0])
async def test_temporary_failures_are_retried(status: int, clock: FakeClock) -> None:
    replies = [Reply(status, {"error": {"message": "busy"}})] * 2 + [completion("[2] > [1]")]
    with serving(lambda _: replies[(len(server.requests) - 1) % 3]) as server:
        reranker = endpoint(server.url)
        assert reranker.rank(QUERY, DOCUMENTS).documents == DOCUMENTS[::-1]
        assert (await reranker.arank(QUERY, DOCUMENTS)).documents == DOCUMENTS[::-1]
    assert len(server.requests) == 6
    assert clock.waits == [1.0, 2.0] * 2


@pytest.mark.parametrize(
    ("reply", "message", "requests"),
    [
        (Reply(400, {"error": {"message": "maximum context length is 8192"}}), "answered 400: maximum context", 1),
        (Reply(401, {"error": {"message": f"bad key {SECRET}"}}), r"answered 401: bad key \*+\. .*OPENAI_API_KEY$", 1),
        (Reply(404, {"detail": "no such model"}), "answered 404: no such model", 1),
        (Reply(403, b"<html>forbidden</html>"), "answered 403: <html>forbidden", 1),
        (Reply(307, {}), "answered 307: .*base_url", 1),
        (Reply(503, {"error": "overloaded"}), r"answered 503 \(3 attempts\): overloaded", 3),
        (Reply(429, {"message": "slow down"}, "3600"), r"answered 429 \(3 attempts\): slow down", 3),
        (Reply(0), r"no answer from 127.* \(3 attempts\)", 3),
        (Reply(200, b"{"), "no chat completion came back, but {", 1),
        (Reply(200, {"choices": []}), "no chat completion came back", 1),
        (Reply(200, [1]), "no chat completion came back", 1),
        (Reply(200, {"choices": [{"message": {"content": 3}}]}), "answered with a int, not with a text", 1),
    ],
)
async def test_permanent_failures_are_errors(reply: Reply, message: str, requests: int, clock: FakeClock) -> None:
    with serving(lambda _: reply) as server:
        reranker = endpoint(server.url, api_key=SECRET)
        for _ in range(2):
            with pytest.raises(ScorerError, match=message) as caught:
                reranker.rank(QUERY, DOCUMENTS) if not server.requests else await reranker.arank(QUERY, DOCUMENTS)
            assert SECRET not in str(caught.value)
            assert SECRET not in repr(caught.value.__cause__)
    assert len(server.requests) == 2 * requests


def test_retry_after_is_honoured(clock: FakeClock) -> None:
    replies = [Reply(429, {}, "7"), Reply(429, {}, "3600"), completion("[2] > [1]")]
    with serving(lambda _: replies[len(server.requests) - 1]) as server:
        endpoint(server.url).rank(QUERY, DOCUMENTS)
    assert clock.waits == [7.0, 60.0]


def test_a_refusal_without_content_is_a_bad_answer() -> None:
    with serving(lambda _: completion(None)) as server:
        ranking = endpoint(server.url).rank(QUERY, DOCUMENTS)
    assert ranking.documents == DOCUMENTS
    assert "1 of 1 answers were repaired" in str(ranking.degraded)


async def test_a_slow_server_is_given_up() -> None:
    gate = threading.Event()
    with serving(lambda _: completion("[2] > [1]")._replace(wait=gate)) as server:
        reranker = endpoint(server.url, timeout=0.8)
        with pytest.raises(RemoteError, match=r"no whole answer from 127.* within 0\.8 s"):
            reranker.rank(QUERY, DOCUMENTS)
        with pytest.raises(ScorerError, match=r"no whole answer from 127.* within 0\.8 s"):
            await reranker.arank(QUERY, DOCUMENTS)
        kept = await endpoint(server.url, timeout=0.8, on_error="keep_order").arank(QUERY, DOCUMENTS)
        gate.set()
    assert kept.documents == DOCUMENTS
    assert len(server.requests) == 3, "a timeout is not tried again"


async def test_cancelling_ends_the_requests() -> None:
    gate, requested, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()

    def reply(_: dict[str, Any]) -> Reply:
        loop.call_soon_threadsafe(requested.set)
        return completion("5")._replace(wait=gate)

    with serving(reply) as server:
        scorer = LlmScorer(OpenAiEndpoint("panda-2", server.url), method="pointwise", parallel=2)
        task = asyncio.create_task(Reranker(scorer).arank(QUERY, list("abcdef")))
        await requested.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
    assert len(server.requests) <= 2


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (SECRET, SecretStr(SECRET)):
        endpoint_with_key = OpenAiEndpoint("panda-2", api_key=key)
        assert SECRET not in repr(endpoint_with_key) + repr(vars(endpoint_with_key))
        assert copy.deepcopy(LlmScorer(endpoint_with_key))._chat.llm is endpoint_with_key
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(Reranker(LlmScorer(endpoint_with_key)))
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for key, header in ((None, f"Bearer {SECRET}"), ("", None)):
        with serving(lambda _: completion("[2] > [1]")) as server:
            data = pickle.dumps(endpoint(server.url, api_key=key))
            pickle.loads(data).rank(QUERY, DOCUMENTS)
        assert SECRET.encode() not in data
        assert server.headers[0].get("authorization") == header
    with pytest.raises(InputError, match="characters that no key has") as caught:
        OpenAiEndpoint("panda-2", api_key="sk-one\nsk-two")
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("openai:", {}, "needs the name of a model"),
        ("openai:gpt-4o-mini", {}, "openai:gpt-4o-mini needs a key: set OPENAI_API_KEY"),
        ("openai:x", {"base_url": "localhost:8000"}, "localhost:8000'? is no URL of a server"),
        ("openai:x", {"base_url": "http://x", "timeout": 0}, "timeout must be a number of seconds above 0, got 0"),
        ("openai:x", {"base_url": "http://x", "method": "setwise"}, "method is one of"),
    ],
)
def test_impossible_names_and_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reranker(name, **options)
