"""How deep to rerank: depths measured from one pass, and a recommendation that follows its rule."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resift import InputError, Reranker
from resift.cli.app import app
from resift.evaluation import Collection, DepthPoint, DepthReport, compare, evaluate, measure_depths
from resift.evaluation.plot import _depths, plot_depths
from resift.scorer import Scale, Scores, Usage
from resift.testing import OverlapScorer

QUERIES = 24
LENGTH = 12


@pytest.fixture
def collection() -> Collection:
    """Every query has one answer: the document of its words, which the first stage has at index 0, 3, 6 or 9."""
    documents = {f"d{number}": f"alpha{number} beta{number}" for number in range(LENGTH * QUERIES)}
    queries = {f"q{number}": documents[f"d{answer(number)}"] for number in range(QUERIES)}
    return Collection(
        "made", documents, queries, {f"q{number}": {f"d{answer(number)}": 1} for number in range(QUERIES)}
    )


def answer(query: int) -> int:
    return LENGTH * query + 3 * (query % 4)


@pytest.fixture
def run() -> dict[str, list[str]]:
    return {f"q{query}": [f"d{LENGTH * query + index}" for index in range(LENGTH)] for query in range(QUERIES)}


@dataclass
class Counting:
    """The overlap of words, slowly, and remembering how many documents each call had."""

    seconds: float = 0.0
    hits: int = 0
    calls: list[int] = field(default_factory=list)
    name: str = "counting"
    scale: Scale = Scale.PROBABILITY

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        self.calls.append(len(documents))
        time.sleep(self.seconds * len(documents))
        return Scores(tuple(OverlapScorer().score(query, documents)), Usage(cache_hits=self.hits))


def test_each_depth_equals_reranking_so_many_and_keeping_the_rest(
    collection: Collection, run: dict[str, list[str]]
) -> None:
    reranker = Reranker(OverlapScorer())
    report = measure_depths(collection, reranker, stage=run, depths=(1, 3, 4, 7, 12, 500))
    assert [point.depth for point in report.points] == [0, 1, 3, 4, 7, 12], "there is nothing beyond the longest list"
    for point in report.points[1:]:
        plain = {query: [*reranker.rank(collection.queries[query], listed[: point.depth],
                                        text=collection.documents.__getitem__).documents, *listed[point.depth :]]
                 for query, listed in run.items()}  # fmt: skip
        expected = evaluate(collection, {}, stage=plain).evaluations[0]
        assert point.per_query == expected.per_query["nDCG@10"]
        assert point.ndcg == expected.metrics["nDCG@10"]
    first, single, *_, deepest = report.points
    assert (first.comparison, first.seconds, first.gain) == (None, (), 0.0)
    assert single.ndcg == first.ndcg
    assert deepest.ndcg == 1
    assert (report.first_stage, report.model, report.queries) == ("given run", "overlap", QUERIES)


def test_one_pass_over_the_deepest_and_every_depth_timed_on_a_few(
    collection: Collection, run: dict[str, list[str]]
) -> None:
    scorer = Counting(seconds=0.002)
    calls: list[tuple[int, int]] = []
    report = measure_depths(
        collection, Reranker(scorer), stage=run, depths=(3, 6, 12), timed=5,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert scorer.calls[:QUERIES] == [LENGTH] * QUERIES
    timed = [scorer.calls[start : start + 3] for start in range(QUERIES, len(scorer.calls), 3)]
    assert len(timed) == report.timed == 5
    assert all(sorted(calls) == [3, 6, 12] for calls in timed)
    assert len({tuple(calls) for calls in timed}) > 1, "no depth always comes first"
    assert [len(point.seconds) for point in report.points] == [0, 5, 5, 5]
    three, twelve = report.points[1].median_seconds, report.points[-1].median_seconds
    assert three >= 0.006
    assert twelve >= 0.024
    assert calls == [(done, QUERIES + 5) for done in range(QUERIES + 5)]


def test_queries_with_fewer_candidates_count_with_those_they_have(
    collection: Collection, run: dict[str, list[str]]
) -> None:
    scorer = Counting()
    short = {query: listed[:5] if query != "q0" else listed for query, listed in run.items()}
    report = measure_depths(collection, Reranker(scorer), stage=short, depths=(4, 8, 12), timed=2)
    assert scorer.calls[:3] == [12, 5, 5]
    assert sorted(scorer.calls[QUERIES : QUERIES + 3]) == [4, 8, 12]
    assert sorted(scorer.calls[QUERIES + 3 :]) == [4, 5], "its five are timed once, for 8 and for 12"
    assert report.points[2].seconds[1] == report.points[3].seconds[1]


def test_kept_results_are_told(collection: Collection, run: dict[str, list[str]]) -> None:
    report = measure_depths(collection, Reranker(Counting(hits=2)), stage=run, depths=(3, 6), timed=4)
    assert report.cache_hits == 2 * 2 * 4
    assert report.to_dict()["cache_hits"] == 16


def report_of(gains: dict[int, float], spread: float = 0.0) -> DepthReport:
    """Queries whose nDCG@10 is .3 before, and so much more at each depth; every other one `spread` more or less."""
    before = {str(query): 0.3 for query in range(40)}
    points = [DepthPoint(0, 0.3, before)]
    for depth, gain in gains.items():
        after = {query: 0.3 + gain + spread * (1 if int(query) % 2 else -1) for query in before}
        points.append(DepthPoint(depth, 0.3 + gain, after, compare(before, after), [depth / 1000] * 3))
    return DepthReport("made", "bm25", "model", 40, 3, 0, points)


@pytest.mark.parametrize(
    ("gains", "depth", "sentence"),
    [
        (
            {20: 0.08, 50: 0.0998, 100: 0.0985, 200: 0.1},
            50,
            "Rerank 50: 99 % of the gain in 25 % of the time of 200 (+0.100 nDCG@10).",
        ),
        (
            {20: 0.08, 50: 0.099, 200: 0.1},
            50,
            "Rerank 50: 99 % of the gain in 25 % of the time of 200 (+0.100 nDCG@10).",
        ),
        (
            {20: 0.08, 50: 0.098, 200: 0.1},
            200,
            "Rerank 200, the depth of most gain (+0.100 nDCG@10). 50: 98 % of the gain in 25 % of the time. "
            "Deeper may give more: 200 is the deepest measured.",
        ),
        (
            {10: 0.05, 20: 0.1, 50: 0.02},
            20,
            "Rerank 20, the depth of most gain (+0.100 nDCG@10). 10: 50 % of the gain in 50 % of the time. "
            "Deeper is worse: 50 loses 0.080 against 20.",
        ),
        (
            {20: 0.1, 50: 0.1, 100: 0.1},
            20,
            "Rerank 20, the depth of most gain (+0.100 nDCG@10). Deeper gains nothing more: 100 is no better than 20.",
        ),
        (
            {10: -0.01, 20: 0.1},
            20,
            "Rerank 20, the depth of most gain (+0.100 nDCG@10). Deeper may give more: 20 is the deepest measured.",
        ),
        (
            {20: 0.0, 50: -0.02, 100: -0.04},
            None,
            "Reranking is not shown to help at any depth: on 40 queries, no gain is clear of chance. "
            "At 50, 100 it hurts.",
        ),
    ],
)
def test_the_recommendation_follows_its_rule(gains: dict[int, float], depth: int | None, sentence: str) -> None:
    report = report_of(gains)
    assert (report.recommended and report.recommended.depth) == depth
    assert report.recommendation == sentence
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (data["recommended"], data["recommendation"]) == (depth, sentence)
    assert [point["depth"] for point in data["depths"]] == [0, *gains]


def test_a_gain_that_chance_explains_is_none() -> None:
    report = report_of({20: 0.01, 50: 0.02}, spread=0.3)
    assert report.points[2].gain > 0
    assert report.recommended is None
    assert report.recommendation == (
        "Reranking is not shown to help at any depth: on 40 queries, no gain is clear of chance."
    )


def test_a_greater_gain_that_is_not_shown_is_not_recommended() -> None:
    sure, unsure = report_of({20: 0.05}), report_of({50: 0.06}, spread=0.3)
    report = replace(sure, points=[*sure.points, unsure.points[1]])
    assert report.best is report.recommended is sure.points[1]
    assert report.recommendation.endswith("Deeper gains nothing more: 50 is no better than 20.")


def test_what_makes_no_sense_is_refused(collection: Collection, run: dict[str, list[str]]) -> None:
    reranker = Reranker(OverlapScorer())
    with pytest.raises(InputError, match="judged documents come in an order that means nothing"):
        measure_depths(collection, reranker, stage="judged")
    for depths, limit, timed in (((), None, 3), ((0, 5), None, 3), ((5,), 0, 3), ((5,), None, 0)):
        with pytest.raises(InputError, match="depths, timed and limit must be at least 1"):
            measure_depths(collection, reranker, stage=run, depths=depths, limit=limit, timed=timed)
    for cut in (Reranker(OverlapScorer(), top_k=3), Reranker(OverlapScorer(), min_relevance=0.1)):
        with pytest.raises(InputError, match="must have neither top_k nor min_relevance"):
            measure_depths(collection, cut, stage=run)


@pytest.mark.parametrize("gains", [{5: 0.02, 10: 0.05, 50: 0.1, 200: 0.1005}, {20: -0.01}])
def test_plots_are_written_twice_the_same(tmp_path: Path, gains: dict[int, float]) -> None:
    report = report_of(gains, spread=0.02)
    for name in ("plot.png", "plot.svg"):
        plot_depths(report, tmp_path / name)
    picture, text = (tmp_path / "plot.png").read_bytes(), (tmp_path / "plot.svg").read_text()
    assert picture.startswith(b"\x89PNG")
    assert "<dc:date>" not in text
    plot_depths(report, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == picture


def test_a_plot_names_its_depths_and_marks_the_recommended_one() -> None:
    for gains, labels in (
        ({5: 0.02, 10: 0.05, 50: 0.1, 200: 0.1005}, {"5": 0.32, "10": 0.35, "rerank 50": 0.4, "200": 0.4005}),
        ({20: -0.01}, {"20": 0.29}),
    ):
        axes = _depths(report_of(gains)).axes[0]
        assert {text.get_text(): pytest.approx(text.xy[1]) for text in axes.texts} == labels
        dashed = next(line for line in axes.lines if line.get_linestyle() == "--")
        assert set(dashed.get_ydata()) == {0.3}
        assert (axes.get_ylabel(), axes.get_xlabel()) == (
            "nDCG@10, mean of the queries",
            "reranking time of a query, median of 3",
        )


def test_the_command(collection: Collection, tmp_path: Path) -> None:
    folder, plot = tmp_path / "made", tmp_path / "plot.svg"
    folder.mkdir()
    # The answers of four queries, and as many others to find them among.
    keep = [f"d{LENGTH * query + index}" for query in range(4) for index in (0, 3, 6, 9)]
    rows = [json.dumps({"_id": id, "title": "", "text": collection.documents[id]}) for id in keep]
    (folder / "corpus.jsonl").write_text("\n".join(rows))
    queries = [json.dumps({"_id": f"q{query}", "text": collection.queries[f"q{query}"]}) for query in range(4)]
    (folder / "queries.jsonl").write_text("\n".join(queries))
    (folder / "qrels.tsv").write_text("\n".join(f"q{query}\td{answer(query)}\t1" for query in range(4)))
    found = CliRunner().invoke(
        app, ["depth", str(folder), "--first-stage", "static", "--queries", "2", "--plot", str(plot), "--json"]
    )
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert (report["model"], report["queries"], report["first_stage"]) == ("resift:small", 2, "static")
    assert [point["depth"] for point in report["depths"]] == [0, 5, 10, 16]
    assert all(point["median_seconds"] > 0 for point in report["depths"][1:])
    assert plot.read_text().startswith("<?xml")
    shown = CliRunner().invoke(app, ["depth", str(folder), "--first-stage", "static", "--depth", "7"])
    lines = shown.stdout.splitlines()
    assert lines[0].rstrip() == "made: 4 queries, resift:small over static"
    assert [line.split()[0] for line in lines[2:-1]] == ["0", "5", "7"]
    assert lines[2].rstrip().endswith("first stage")
    assert lines[-1].startswith("Rerank")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "plot.pdf"], "plot.pdf: a plot is a .png or .svg file"),
        (["--plot", "nowhere/plot.png"], "nowhere/plot.png: there is no folder nowhere"),
        ([], "nothing has no corpus.jsonl"),
    ],
)
def test_the_command_fails_before_it_measures(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["depth", "nothing", *arguments])
    assert found.exit_code == 1
    assert found.stderr.startswith(f"resift: {message}")
