"""Closing: what was loaded by name is closed, however deep it lies; what somebody else made or uses is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rerank_server import RerankServer

from resift import Cached, Cascade, Ensemble, Fallback, Fused, Reranker, Scale
from resift.scorer import Scorer, ScorerTraits, WrapperScorer
from resift.testing import OverlapScorer


@pytest.fixture
def server() -> Iterator[RerankServer]:
    with RerankServer("compatible").running() as running:
        yield running


def pools(scorer: Any) -> int:
    """Open connection pools, of threads and of event loops."""
    return len(scorer._client._by_process) + len(scorer._client._by_loop)


MADE: dict[str, Callable[[str], WrapperScorer]] = {
    "fallback": lambda service: Fallback([service, OverlapScorer()]),
    "ensemble": lambda service: Ensemble([service, OverlapScorer()]),
    "fused": lambda service: Fused(service),
    "cascade": lambda service: Cascade([OverlapScorer(), service], keep=1),
    "nested": lambda service: Fallback([Ensemble([service, OverlapScorer()], by="rank"), OverlapScorer()]),
}


def service_in(wrapper: WrapperScorer) -> Any:
    for scorer in wrapper.scorers:
        if isinstance(scorer, WrapperScorer):
            return service_in(scorer)
        if hasattr(scorer, "_client"):
            return scorer
    raise AssertionError("no service inside")


@pytest.mark.parametrize("kind", MADE)
async def test_a_closed_reranker_leaves_no_connection_of_a_member_open(kind: str, server: RerankServer) -> None:
    documents = ["a red fox", "a whale"]
    wrapper = MADE[kind](f"compatible:{server.url}#model")
    service = service_in(wrapper)
    with Reranker(wrapper) as reranker:
        reranker.rank("red fox", documents)
        assert pools(service) == 1
    assert pools(service) == 0
    async with Reranker(wrapper) as reranker:
        await reranker.arank("red fox", documents)
        assert pools(service) == 1
    assert pools(service) == 0


def test_what_two_rerankers_share_is_closed_with_the_last(server: RerankServer) -> None:
    shared = Fallback([f"compatible:{server.url}#model", OverlapScorer()])
    service = service_in(shared)
    with Reranker(shared) as staying:
        with Reranker(shared, top_k=1) as leaving:
            leaving.rank("red fox", ["a red fox", "a whale"])
        assert pools(service) == 1, "the other one may be in the middle of a call"
        assert len(staying.rank("red fox", ["a red fox", "a whale"])) == 2
    assert pools(service) == 0


class Closable(OverlapScorer):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        type(self).closed += 1


def test_a_scorer_that_its_user_made_stays_open() -> None:
    Closable.closed = 0
    for wrapper in (Fallback([Closable(), OverlapScorer()]), Ensemble([Closable(), OverlapScorer()]), Closable()):
        with Reranker(wrapper) as reranker:
            reranker.rank("q", ["a"])
    WrapperScorer(Closable()).close()
    assert Closable.closed == 0
    own = Closable()
    WrapperScorer(own, loaded=[own]).close()
    assert Closable.closed == 1


class Described:
    """A scorer that says everything it may say."""

    name, scale = "described", Scale.LOGIT
    identity, long_documents, max_length, batch_tokens, round_tokens = "v1", "max_window", 77, 1234, 99_000

    def score(self, query: str, documents: list[str]) -> list[float]:
        return [float(len(text)) for text in documents]


def test_a_wrapper_forwards_the_whole_protocol() -> None:
    inner = Described()
    for wrapper in (WrapperScorer(inner), Cached(inner)):  # type: ignore[arg-type]  # a scorer by duck
        assert (wrapper.name, wrapper.scale) == (inner.name, inner.scale)
        assert ScorerTraits.of(wrapper) == ScorerTraits.of(inner)  # type: ignore[arg-type]
        assert list(wrapper.score("q", ["ab", "c"])) == [2.0, 1.0]


def test_of_several_scorers_a_trait_is_the_careful_choice() -> None:
    both: Scorer = Ensemble([Described(), OverlapScorer()], by="rank")  # type: ignore[list-item]  # a scorer by duck
    traits = ScorerTraits.of(both)
    assert (traits.identity, traits.whole_lists, traits.awaitable) == (None, True, True)
    assert (traits.long_documents, traits.max_length) == ("max_window", 77)
