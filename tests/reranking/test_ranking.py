"""How a ranking reads: as JSON, in a terminal, in a notebook."""

from __future__ import annotations

import json

import pytest

from resift import Reranker
from resift.testing import OverlapScorer, ScriptedScorer

DOCUMENTS = ["a blue whale", "the red fox <script>document.title='owned'</script>", "a red whale"]


def test_to_dict_is_json_and_says_everything() -> None:
    found = json.loads(json.dumps(Reranker(OverlapScorer()).rank("red fox", DOCUMENTS).to_dict(), allow_nan=False))
    assert found["model"] == "overlap"
    assert found["scale"] == "probability"
    assert found["stats"]["documents"] == 3
    assert found["hits"][0] == {
        "rank": 1,
        "index": 1,
        "score": 1.0,
        "relevance": 1.0,
        "truncated": False,
        "span": None,
        "evidence": [],
        "pruned": None,
        "text": DOCUMENTS[1],
    }


def test_to_dict_shows_documents_as_the_caller_says() -> None:
    documents = [{"id": "x", "text": "fox"}]
    ranking = Reranker(OverlapScorer()).rank("fox", documents, text=lambda document: document["text"])
    assert ranking.to_dict(document=lambda document: document["id"])["hits"][0]["document"] == "x"


def test_repr_shows_ranks_indices_scores_and_degradation() -> None:
    text = repr(Reranker(OverlapScorer()).rank("red fox", DOCUMENTS))
    assert "Ranking of 3 documents by overlap" in text
    assert "1  [1]    1.000  the red fox" in text
    degraded = Reranker(ScriptedScorer([]), on_error="keep_order").rank("red fox", DOCUMENTS)
    assert "degraded: first-stage order kept" in repr(degraded)


def test_a_ranking_is_immutable_and_a_sequence() -> None:
    ranking = Reranker(OverlapScorer()).rank("red fox", DOCUMENTS)
    with pytest.raises(AttributeError):
        ranking.hits = ()  # type: ignore[misc]
    assert ranking[0] == ranking.hits[0]
    assert ranking[:2] == ranking.hits[:2]
    assert list(ranking) == list(ranking.hits)
    assert ranking[-1].index == 0


def test_html_escapes_what_it_shows() -> None:
    html = Reranker(OverlapScorer()).rank("red <b>fox</b>", DOCUMENTS)._repr_html_()
    assert "<script>" not in html
    assert "red &lt;b&gt;fox&lt;/b&gt;" in html
    assert "▲1" in html
