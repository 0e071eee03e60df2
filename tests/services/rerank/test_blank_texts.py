"""Blank texts are not sent, since some services refuse a whole list for one; they come last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rerank_server import PATHS, RerankServer

from resift import RemoteError, Reranker
from resift.scorer import Request, Scale, Scores
from resift.scoring.load import load_scorer
from resift.services.rerank.blank import add_blanks
from resift.services.rerank.scorer import RemoteScorer

BLANKS = ["", " ", "\n\t", "\u00a0\u3000", "\u200b\u00ad \u202a"]


@pytest.fixture(params=list(PATHS))
def server(request: pytest.FixtureRequest) -> Iterator[RerankServer]:
    with RerankServer(request.param).running() as running:
        yield running


@pytest.fixture
def voyage() -> Iterator[RerankServer]:
    with RerankServer("voyage").running() as running:
        yield running


def remote(server: RerankServer, **options: object) -> RemoteScorer:
    scorer = load_scorer(f"{server.scheme}:some-model", base_url=server.url, api_key="sk-test", **options)  # type: ignore[arg-type]
    assert isinstance(scorer, RemoteScorer)
    return scorer


async def test_blank_texts_come_last_whatever_else_is_in_the_list(server: RerankServer) -> None:
    documents = ["", "blue", " \n", "red fox", "red", "\u3000"]
    async with remote(server) as scorer:
        reranker = Reranker(scorer)
        for ranking in (reranker.rank("red fox", documents), await reranker.arank("red fox", documents)):
            assert [hit.index for hit in ranking] == [3, 4, 1, 0, 2, 5]
            assert all(hit.score <= ranking[2].score for hit in ranking[3:])
            assert all((hit.relevance or 0.0) < 1e-40 for hit in ranking[3:])
            assert ranking.degraded is None
            assert ranking.stats.calls == 1


async def test_a_list_of_blank_texts_sends_nothing(server: RerankServer) -> None:
    async with remote(server) as scorer:
        for scores in (scorer.score("red", BLANKS), await scorer.ascore("red", BLANKS)):
            assert len(set(scores)) == 1
            assert scores.usage.calls == 0
        assert [hit.index for hit in Reranker(scorer).rank("red", BLANKS)] == [0, 1, 2, 3, 4]
    assert server.requests == []


async def test_a_service_that_refuses_blank_texts_never_sees_one(voyage: RerankServer) -> None:
    documents = [text for number in range(10) for text in (f"red {number}", BLANKS[number % 5])]
    async with remote(voyage, batch_documents=3) as scorer:
        for scores in (scorer.score("red 7", documents), await scorer.ascore("red 7", documents)):
            assert list(scores[1::2]) == [0.0] * 10
            assert list(scores[::2]) == [1.0 if number == 7 else 0.5 for number in range(10)]
            assert scores.usage.pairs == 10
    assert sum(len(request.body["documents"]) for request in voyage.requests) == 20
    assert len(voyage.requests) == 8


def test_the_server_of_these_tests_refuses_blank_texts(voyage: RerankServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resift.services.rerank.scorer.filled_indices", lambda documents: list(range(len(documents))))
    with pytest.raises(RemoteError, match="answered 400: Input cannot contain empty strings"):
        remote(voyage).score("red", ["red", " "])


def test_queries_with_and_without_blank_texts_together(voyage: RerankServer) -> None:
    requests = [Request("red", ["", "red"]), Request("blue", ["", " "]), Request("green", []), Request("red", ["red"])]
    scores = remote(voyage).score_many(requests)
    assert [list(values) for values in scores] == [[0.0, 1.0], [0.0, 0.0], [], [1.0]]
    assert [values.usage.calls for values in scores] == [1, 0, 0, 1]


@pytest.mark.parametrize("scale", list(Scale))
@pytest.mark.parametrize("lowest", [0.5, 0.0, -1e-7, -1.0, -99.5, -150.0, -1e308])
def test_a_blank_text_is_never_above_another(scale: Scale, lowest: float) -> None:
    if scale is Scale.PROBABILITY and lowest < -1e-6:
        pytest.skip("refused before")
    scores = add_blanks(Scores((0.9, lowest), order=(0, 1)), [1, 2], 4, scale)
    assert max(scores[0], scores[3]) <= lowest
    assert scores.order == (1, 2, 0, 3), "and of equal ones it comes last"
    assert scores.values[1:3] == (0.9, lowest)


@pytest.mark.parametrize(("scale", "score"), [("logit", -100.0), ("probability", 0.0), ("similarity", -2.0)])
def test_the_score_doesnt_depend_on_the_list(scale: str, score: float) -> None:
    with RerankServer("compatible").running() as server:
        scorer = remote(server, scale=scale)
        assert [scorer.score("red", documents)[0] for documents in ([""], ["", "red"], ["", "blue"])] == [score] * 3
