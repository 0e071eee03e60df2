"""What of a first stage is not measured, and that it is told: the query itself, and queries without candidates."""

from __future__ import annotations

from typing import Any

import pytest

from resift import Reranker
from resift.evaluation import Collection, evaluate, measure_depths, measure_thresholds
from resift.evaluation.first_stage import candidates
from resift.testing import OverlapScorer

ARGUMENTS = Collection(
    "arguments",
    {"a1": "taxes are too high", "a2": "taxes pay for schools", "a3": "dogs bark"},
    {"a1": "taxes are too high", "a3": "taxes and schools"},
    {"a1": {"a2": 1}, "a3": {"a3": 1, "a2": 1}},
)
"""As in ArguAna, a1 is a query and a document. a3 is both by chance: it is judged relevant."""


def test_the_document_with_the_querys_own_id_is_left_out_as_in_beir(caplog: Any) -> None:
    run = {"a1": ["a1", "a2", "a3"], "a3": ["a3", "a2"]}
    found = candidates(run, ARGUMENTS, 2)
    assert found == {"a1": ["a2", "a3"], "a3": ["a3", "a2"]}, "the next one takes its place"
    assert caplog.messages == [
        "arguments, given run: 1 of 2 queries have a candidate with the query's own id, such as 'a1', which is left "
        "out, as in BEIR"
    ]
    assert candidates(run, ARGUMENTS, 2, ignore_identical_ids=False) == {"a1": ["a1", "a2"], "a3": ["a3", "a2"]}
    reranker = Reranker(OverlapScorer())
    for keep, value in ((False, 1.0), (True, pytest.approx((1 + 0.63) / 2, abs=0.01))):
        options: Any = {"stage": run, "ignore_identical_ids": not keep}
        report = evaluate(ARGUMENTS, {}, **options)
        assert report.evaluations[0].metrics["nDCG@10"] == value
        assert bool(report.notes) is not keep
        assert bool(measure_depths(ARGUMENTS, reranker, depths=[2], **options).to_dict()["notes"]) is not keep
        assert bool(measure_thresholds(ARGUMENTS, reranker, **options).to_dict()["notes"]) is not keep


def test_queries_without_candidates_are_told(caplog: Any) -> None:
    report = evaluate(ARGUMENTS, {}, stage={"a1": ["a2"], "a3": []})
    assert report.queries == 1
    assert report.notes == ("1 of 2 queries have no candidates, such as 'a3', and are left out",)
    assert caplog.messages == [f"arguments, given run: {report.notes[0]}"]
