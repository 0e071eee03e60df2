"""Keys are sent and never shown: not in reprs, logs, errors, pickles, copies or the locals of tracebacks."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from rerank_server import Answer, RerankServer

from resift import InputError, RemoteError, Reranker
from resift.adapters import ApiKey
from resift.services.rerank.known_services import SERVICES
from resift.services.rerank.scorer import RemoteScorer

KEY = "sk-hush-4711"


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer("cohere", key=KEY).running() as running:
        yield running


@pytest.fixture(autouse=True)
def no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in SERVICES.values():
        for variable in service.key_variables:
            monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("key", [KEY, f"  {KEY}\n", SecretStr(KEY), ApiKey(KEY)], ids=lambda key: type(key).__name__)
def test_keys_given_by_hand(server: RerankServer, key: Any) -> None:
    Reranker("cohere:m", base_url=server.url, api_key=key).rank("red", ["red"])
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("scheme", list(SERVICES))
def test_keys_from_the_environment(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RerankServer(scheme).running() as server:
        for number, variable in enumerate(SERVICES[scheme].key_variables):
            monkeypatch.setenv(variable, f"{KEY}\n")
            Reranker(f"{scheme}:m", base_url=server.url).rank("red", ["red"])
            monkeypatch.setenv(variable, "")
            assert server.rerank_requests[number].headers["authorization"] == f"Bearer {KEY}"


def test_no_key_no_header() -> None:
    with RerankServer("tei").running() as server:
        Reranker(f"tei:{server.url}").rank("red", ["red"])
        assert all("authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize("scheme", [scheme for scheme, service in SERVICES.items() if service.url is not None])
def test_a_service_without_a_key_says_which_variable(scheme: str) -> None:
    with pytest.raises(InputError, match=f"{scheme}:m needs a key: set {SERVICES[scheme].key_variables[0]}"):
        Reranker(f"{scheme}:m")


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "schlüssel", b"bytes", 5, SecretStr("a b")])
def test_impossible_keys_are_refused(key: Any) -> None:
    with pytest.raises(InputError, match="API key") as caught:
        RemoteScorer("cohere", "m", api_key=key)
    assert not isinstance(key, str) or not key.strip() or key not in str(caught.value)


def test_401_says_where_the_key_came_from(server: RerankServer) -> None:
    with pytest.raises(RemoteError, match=r"No key was sent\. It is taken from api_key=, or from CO_API_KEY"):
        Reranker("cohere:m", base_url=server.url).rank("red", ["red"])


ECHOES = [Answer(401, {"message": f"bad: {KEY}"}), Answer(body={"results": KEY})]


@pytest.mark.parametrize("answer", [Answer(401, {"message": "bad"}), Answer(body={"results": []}), *ECHOES])
async def test_nothing_that_is_shown_has_the_key(
    server: RerankServer, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    scorer = RemoteScorer("cohere", "m", base_url=server.url, api_key=KEY)
    shown = [repr(scorer), str(scorer), scorer.name, repr(vars(scorer)), repr(Reranker(scorer)), repr(ApiKey(KEY))]
    scorer.score("red", ["red"])
    server.always = answer
    with pytest.raises(RemoteError) as blocking:
        scorer.score("red", ["red"])
    with pytest.raises(RemoteError) as awaited:
        await scorer.ascore("red", ["red"])
    for caught in (blocking, awaited):
        shown += [str(caught.value), repr(caught.value), repr(vars(caught.value))]
        frames = traceback.StackSummary.extract(traceback.walk_tb(caught.tb), capture_locals=True)
        if answer not in ECHOES:  # what a server says is in the locals of the function that reads it
            shown += [repr(frame.locals) for frame in frames if frame.filename != __file__]
        pickled = pickle.dumps(caught.value)
        assert caught.value.__cause__ is None
        assert KEY.encode() not in pickled
        assert str(pickle.loads(pickled)) == str(caught.value)
    assert not [text for text in shown if KEY in text]
    assert not [record for record in caplog.records if KEY in record.getMessage()]
    assert caplog.records, "httpx did log"
    await scorer.aclose()


def test_pickles_read_the_environment_again(server: RerankServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CO_API_KEY", KEY)
    reranker = Reranker("cohere:m", base_url=server.url, timeout=7.0, max_retries=1, scale="similarity")
    pickled = pickle.dumps(reranker)
    assert KEY.encode() not in pickled
    again = pickle.loads(pickled)
    assert again.scorer._requester.policy == reranker.scorer._requester.policy  # type: ignore[attr-defined]
    assert (again.scorer.name, again.scorer.scale) == (reranker.scorer.name, reranker.scorer.scale)
    assert again.rank("red", ["red"])[0].score == 1.0
    monkeypatch.setenv("CO_API_KEY", "sk-other")
    with pytest.raises(RemoteError, match="401"):
        pickle.loads(pickled).rank("red", ["red"])


def test_a_pickle_opened_without_a_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CO_API_KEY", KEY)
    pickled = pickle.dumps(RemoteScorer("cohere", "m"))
    monkeypatch.delenv("CO_API_KEY")
    with pytest.raises(InputError, match="set CO_API_KEY"):
        pickle.loads(pickled)


def test_a_key_given_by_hand_is_not_pickled() -> None:
    for holder in (Reranker("cohere:m", api_key=KEY), RemoteScorer("cohere", "m", api_key=KEY), ApiKey(KEY)):
        with pytest.raises(TypeError, match="not pickled") as caught:
            pickle.dumps(holder)
        assert KEY not in str(caught.value)


def test_copies_share_connections_and_key() -> None:
    scorer = RemoteScorer("cohere", "m", api_key=KEY)
    assert copy.deepcopy(scorer) is scorer
    assert copy.copy(ApiKey(KEY)) == copy.deepcopy(ApiKey(KEY)) == ApiKey(KEY)
    assert len({ApiKey(KEY), ApiKey(KEY)}) == 1
