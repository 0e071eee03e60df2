"""Queries, scores and reports, as every adapter has them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest

from resift import Hit, InputError, Reranker
from resift.adapters import check_query, choose_score, report_ranking, show_value
from resift.testing import OverlapScorer


@pytest.mark.parametrize("query", ["", " \n", "\ufeff \u200b\u00ad", "\u202a\x00", None, 3, b"bamboo", ["bamboo"]])
def test_what_is_no_query_is_refused_with_what_it_is(query: Any) -> None:
    with pytest.raises(InputError, match=re.escape(f"must be a text with something in it, got {query!r}")):
        check_query(query)
    with pytest.raises(InputError, match=r"got .{200}$"):
        check_query([0] * 1000)


def hit(score: float, relevance: float | None) -> Hit[str]:
    return Hit("d", "d", score, relevance, index=0, rank=1)


def test_scores() -> None:
    assert choose_score(hit(2.5, 0.9), "relevance") == 0.9
    assert choose_score(hit(2.5, 0.9), "raw") == 2.5
    assert choose_score(hit(2.5, None), "relevance") == 2.5, "the scale has no relevance"
    assert choose_score(hit(math.nan, None), "relevance") is choose_score(hit(math.nan, None), "raw") is None


def test_metadata_is_read_as_words_and_never_as_python() -> None:
    for value, text in (
        (["red", ("blue", None)], "red, blue"),
        (np.array(["red", "blue"]), "red, blue"),
        (np.float32(0.5), "0.5"),
        ({"page": 3, "tags": ["a", "b"], "none": None}, "page: 3, tags: a, b"),
        ([{"name": "red"}], "name: red"),
        (math.nan, ""),
    ):
        assert show_value(value) == text


def test_a_report_is_json_without_the_texts() -> None:
    report = report_ranking(Reranker(OverlapScorer()).rank("red fox", ["a blue whale", "the red fox"]))
    assert json.loads(json.dumps(report)) == report
    assert (report["query"], report["model"], report["scale"]) == ("red fox", "overlap", "probability")
    keys = ["evidence", "index", "pruned", "rank", "relevance", "score", "span", "truncated"]
    assert [sorted(row) for row in report["hits"]] == [keys] * 2


def test_a_report_has_the_places_of_evidence_and_not_its_text() -> None:
    ranking = Reranker(OverlapScorer(), evidence=1, prune=0.5).rank("red fox", ["A whale. The red fox."])
    report = report_ranking(ranking)
    assert report["hits"][0]["evidence"] == [{"start": 9, "end": 21, "score": 1.0, "relevance": 1.0}]
    assert report["hits"][0]["pruned"] == {"spans": [[9, 21]], "sentences_removed": 1, "characters_removed": 9}
