"""The order of a ranking, for whatever scores and documents hypothesis can think of."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from resift import Reranker
from resift.testing import ScriptedScorer

scores = st.lists(st.floats(-50, 50, allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=30)


class ByLength:
    """A scorer of the document alone, with plenty of ties."""

    name, scale = "length", ScriptedScorer([]).scale

    def score(self, query: str, documents: list[str]) -> list[float]:
        return [float(len(document) % 3) for document in documents]


@given(scores)
def test_nothing_is_lost_and_order_is_by_score_then_index(values: list[float]) -> None:
    documents = [f"document {index}" for index in range(len(values))]
    ranking = Reranker(ScriptedScorer(values)).rank("q", documents)
    assert sorted(hit.index for hit in ranking) == list(range(len(values)))
    assert [hit.rank for hit in ranking] == list(range(1, len(values) + 1))
    for hit in ranking:
        assert hit.document == documents[hit.index]
        assert hit.score == values[hit.index]
    assert all((-hit.score, hit.index) < (-following.score, following.index) for hit, following in pairwise(ranking))


@given(scores, st.integers(1, 40), st.floats(0, 1))
def test_cuts_keep_the_beginning_of_the_whole_ranking(values: list[float], top_k: int, min_relevance: float) -> None:
    documents = [f"document {index}" for index in range(len(values))]
    reranker = Reranker(ScriptedScorer(values))
    whole = reranker.rank("q", documents)
    assert reranker.rank("q", documents, top_k=top_k).hits == whole.hits[:top_k]
    cut = reranker.rank("q", documents, top_k=top_k, min_relevance=min_relevance)
    relevant = [hit for hit in whole if hit.relevance is not None and hit.relevance >= min_relevance]
    assert cut.hits == tuple(relevant[:top_k])


@given(st.lists(st.text(max_size=6), max_size=30), st.randoms())
def test_scores_follow_their_documents_through_any_shuffle(documents: list[str], random: object) -> None:
    shuffled = documents[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    reranker = Reranker(ByLength())  # type: ignore[arg-type]
    before, after = reranker.rank("q", documents), reranker.rank("q", shuffled)
    assert sorted((hit.text, hit.score) for hit in before) == sorted((hit.text, hit.score) for hit in after)
