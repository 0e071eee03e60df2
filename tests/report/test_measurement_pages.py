"""Pages of resift eval, resift depth and resift threshold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import PHONE, Browser, faint, overflow
from pages import HOSTILE, check_page
from typer.testing import CliRunner

from resift import InputError, Reranker
from resift.cli.app import app
from resift.evaluation import Collection, LlmJudge, evaluate, measure_depths, measure_thresholds
from resift.evaluation.html_queries import changes, ends
from resift.llm import LlmScorer
from resift.report.plot import Axis, Curve, Mark, bars, intervals, plot

if TYPE_CHECKING:
    from playwright.sync_api import Page

QUERIES = 30


@pytest.fixture(scope="module")
def collection() -> Collection:
    """Each query has its own animal; the first stage of `run` finds it last, or first where the number is even."""
    texts = {f"d{number}": f"animal{number} eats grass {HOSTILE[number % 5][:60]}" for number in range(QUERIES)}
    texts |= {f"x{number}": text for number, text in enumerate(HOSTILE)}
    queries = {f"q<{number}>": f"animal{number} & grass <b>{HOSTILE[number % 5][:20]}" for number in range(QUERIES)}
    return Collection(
        "small </style>", texts, queries, {f"q<{n}>": {f"d{n}": 2, "x1": 0} for n in range(QUERIES)}, ("a <note>",)
    )


@pytest.fixture(scope="module")
def run(collection: Collection) -> dict[str, list[str]]:
    others = [id for id in collection.documents if id.startswith("x")]
    found = {}
    for number, query in enumerate(collection.queries):
        listed = [*others, f"d{(number + 1) % QUERIES}"]
        found[query] = [f"d{number}", *listed] if number % 2 == 0 else [*listed, f"d{number}"]
    return found


@pytest.fixture(scope="module")
def pages(collection: Collection, run: dict[str, list[str]], overlap: Reranker) -> dict[str, str]:
    return {
        "evaluation": evaluate(collection, {"<overlap>": overlap}, stage=run, fuse=0.5).to_html(collection, queries=8),
        "depth": measure_depths(collection, overlap, stage=run, depths=(2, 5, 10), timed=2).to_html(
            collection, queries=8
        ),
        "threshold": measure_thresholds(collection, overlap, stage=run).to_html(collection, queries=8),
    }


def test_pages_are_whole_escaped_and_of_bounded_size(pages: dict[str, str]) -> None:
    for page in pages.values():
        text = check_page(page).text
        assert "small </style>" in text
        assert "a <note>" in text
        assert len(page) < 250_000


def test_the_evaluation_says_what_the_command_says(pages: dict[str, str]) -> None:
    text = check_page(pages["evaluation"]).text
    for said in (
        "<overlap>",
        "Reranking is better than the first stage here.",
        "nDCG@10",
        "95 % interval",
        "given run",
    ):
        assert said in text
    assert "Won: 15 4 of 15 are shown" in text.replace("  ", " ")
    assert "Lost: 0" in text
    assert "As good as before, and not shown: 15." in text
    assert text.count("judged 2") == 16  # in both lists, of four queries with two rerankers
    assert "judged 0" in text


def test_the_depth_says_how_many_to_rerank(pages: dict[str, str]) -> None:
    text = check_page(pages["depth"]).text
    assert "Rerank 9" in text
    assert "rerank 9" in text
    assert "Wins and losses at 9 candidates" in text


def test_the_threshold_shows_what_a_cut_does(pages: dict[str, str]) -> None:
    text = check_page(pages["threshold"]).text
    assert "which min_relevance to set" in text
    assert "best F1" in text
    assert "Shown are those around the cut" in text
    assert "left out" in text


def test_no_query_and_no_gain(collection: Collection, run: dict[str, list[str]], overlap: Reranker) -> None:
    only = {query: listed for query, listed in run.items() if listed[0] != "x0"}
    for queries in (0, 1):
        report = measure_depths(collection, overlap, stage=only, depths=(2,), timed=1)
        text = check_page(report.to_html(collection, queries=queries)).text
        assert "Reranking is not shown to help at any depth" in text
        assert "Won: 0" in text
    judged = evaluate(collection, {"overlap": overlap}, stage="judged").to_html(collection)
    assert "their first order means nothing" in check_page(judged).text


def test_an_llm_that_graded_is_named_and_its_grades_are_shown(overlap: Reranker) -> None:
    collection = Collection("asked", {"a": "pandas eat bamboo", "b": "stocks fell"}, {"q": "pandas"}, {"q": {}})
    llm = LlmScorer(lambda prompt: "10" if "bamboo" in prompt.user else "0", method="pointwise", parallel=1)
    run = {"q": ["b", "a"]}
    report = evaluate(collection, {"overlap": overlap}, stage=run, judge=LlmJudge(llm, twice=1))
    text = check_page(report.to_html(collection)).text
    assert "an LLM, and not by people: 2 passages" in text
    assert "100% came to the same level" in text
    assert "judged 3" in text


def test_another_collection_is_refused(collection: Collection, run: dict[str, list[str]], overlap: Reranker) -> None:
    asked = {"stage": run, "limit": 2}
    reports = (
        evaluate(collection, {"overlap": overlap}, **asked),  # type: ignore[arg-type]
        measure_depths(collection, overlap, depths=(2,), timed=1, **asked),  # type: ignore[arg-type]
        measure_thresholds(collection, overlap, **asked),  # type: ignore[arg-type]
    )
    others = (
        Collection("other", {"d0": "a"}, collection.queries, collection.qrels),
        Collection("other", collection.documents, {"q": "a"}, {"q": {"d0": 1}}),
    )
    for report in reports:
        for other in others:
            with pytest.raises(InputError, match="give the collection that was measured, small"):
                report.to_html(other)


def test_the_queries_shown_are_those_of_the_largest_differences() -> None:
    before = {str(number): 0.5 for number in range(10)}
    after = {str(number): number / 10 for number in range(10)}  # five lost, one is as good, four won
    won, lost = ends(changes(before, after), 4)
    assert [change.query for change in won + lost] == ["9", "8", "0", "1"]
    assert [len(part) for part in ends(changes(before, after), 100)] == [4, 5]
    assert [len(part) for part in ends(changes({"a": 0, "b": 0}, {"a": 1, "b": 1}), 2)] == [2, 0]
    assert [len(part) for part in ends(changes(after, before), 0)] == [0, 0]


def test_plots_of_anything() -> None:
    for values in ([], [0.0], [0.5], [-0.5], [0.1, -0.1] * 2000):
        check = bars("Bars", values, "value")
        assert "nan" not in check
        assert len(check) < 60_000
    assert "nan" not in intervals("Gains", [("a < b", 0.0, 0.0, 0.0), ("c" * 99, 0.1, -1, 1)], "gain")
    one = Curve("one", [(0.1, 0.5)], band=[(0.4, 0.6)], dots=[5.0], names=["<1>"])
    shown = plot(
        "Plot", [one], Axis("x", 0.1, 0.1, log=True), Axis("y", 0.5, 0.5), [Mark("here", 0.1), Mark("there", 0.1, 0.5)]
    )
    assert "nan" not in shown
    assert "&lt;1&gt;" in shown


@pytest.mark.parametrize("command", ["eval", "depth", "threshold"])
def test_the_commands_write_them(command: str, tmp_path: Path) -> None:
    rows = [
        {"_id": id, "title": "", "text": text} for id, text in {"a": "Pandas eat bamboo.", "b": "Stocks fell."}.items()
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "what do pandas eat?"}))
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    asked = [command, str(tmp_path), "--model", "resift:tiny", "--html"]
    done = CliRunner().invoke(app, [*asked, str(tmp_path / "page.html")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "resift:tiny" in check_page((tmp_path / "page.html").read_text(encoding="utf-8")).text
    refused = CliRunner().invoke(app, [*asked, str(tmp_path / "nowhere" / "page.html")], catch_exceptions=False)
    assert refused.exit_code == 1
    assert "there is no folder" in refused.stderr


@pytest.mark.slow
def test_pages_are_readable_on_a_phone_in_light_and_dark(
    pages: dict[str, str], browser: Browser, tmp_path: Path
) -> None:
    for name, html in pages.items():
        file = tmp_path / f"{name}.html"
        file.write_text(html, encoding="utf-8")

        def look(page: Page, address: str = file.as_uri()) -> None:
            page.goto(address)
            page.locator("details.card > summary").first.focus()
            page.keyboard.press("Enter")
            assert page.locator("details.card").first.evaluate("card => card.open")
            assert overflow(page) == 0
            assert faint(page) == []

        for width in (1280, PHONE):
            for dark in (False, True):
                browser.visit(look, width=width, dark=dark)
