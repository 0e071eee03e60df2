"""A ranking as a page and as a picture."""

from __future__ import annotations

import copy
import math
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from browser import PHONE, Browser, faint, overflow
from pages import HOSTILE, Elements, check_page

from resift import InputError, MemoryFirstStage, Passage, Ranking, Reranker, TwoStageSearch
from resift.testing import OverlapScorer, ScriptedScorer

if TYPE_CHECKING:
    from playwright.sync_api import Page

QUESTION = "what do pandas eat? <b>"
TEXTS = [
    "Stocks fell on Monday.",
    "Pandas live in China. Giant pandas eat bamboo all day. It rained.",
    *HOSTILE,
    "Bamboo is a grass that grows fast.",
]


@pytest.fixture(scope="module")
def ranking(bundled: Reranker) -> Ranking[Passage]:
    passages = [
        Passage(text, f"id {number}", {"path": text[:400], "<b>field</b>": HOSTILE[1], "empty": None, "list": [1, "<"]})
        for number, text in enumerate(TEXTS)
    ]
    return TwoStageSearch(MemoryFirstStage(passages), bundled).search(QUESTION, top_k=None)


def test_a_page_is_whole_escaped_and_says_what_happened(ranking: Ranking[Passage], tmp_path: Path) -> None:
    page = ranking.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    text = check_page(page).text
    for said in (
        QUESTION,
        "resift:small",
        "resift:static, in memory",
        f"score {ranking[0].score:.3f}",
        "similarity 0.",
    ):
        assert said in text
    assert "Giant pandas eat bamboo all day." in text
    assert f"was {ranking[0].index + 1}" in text
    assert "document.title='owned'" in text
    assert 'class="evidence"' in page
    assert len(page) < 120_000


def test_what_is_wrong_is_said(ranking: Ranking[Passage]) -> None:
    degraded = Reranker(ScriptedScorer([]), on_error="keep_order").rank("fox <i>", ["a", "b"])
    text = check_page(degraded.to_html()).text
    assert "The order is degraded: first-stage order kept" in text
    assert "not scored" in text
    with Reranker("resift:tiny", long_documents="truncate") as cutting, pytest.warns(match="longer than"):
        cut = cutting.rank("fox", ["fox " * 3000, "a fox"])
    text = check_page(cut.to_html()).text
    assert "1 of 2 texts is longer than was read: its end counts" in text
    assert "part unread" in text
    assert "knows no scorer" in check_page(pickle.loads(pickle.dumps(degraded)).to_html()).text
    assert "known parts" in check_page(Reranker(OverlapScorer()).rank("fox", ["a fox"]).to_html()).text
    assert "2 more are ranked below these" in check_page(copy.copy(ranking).to_html(top=len(ranking) - 2)).text


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "There is nothing to rank: the first stage found no candidate."),
        (["a whale"], "The one candidate is not as relevant as min_relevance asks."),
        (["a whale", "a bus"], "None of the 2 candidates is as relevant as min_relevance asks."),
    ],
)
def test_a_page_without_results_says_why(overlap: Reranker, texts: list[str], said: str) -> None:
    text = check_page(overlap.rank("fox", texts, min_relevance=0.9).to_html()).text
    assert said in text
    assert "none ranks" not in " ".join(text.split())


def test_a_page_of_some_hits_says_how_many_others_there_were(ranking: Ranking[Passage], bundled: Reranker) -> None:
    best = bundled.rank(
        "pandas eat bamboo", [f"stock {number}" for number in range(60)] + ["pandas eat bamboo"], top_k=1
    )
    page = best.to_html(first_stage="BM25 <x>", title=lambda text: f"about {text}")
    assert "⋮ 60 more" in (text := check_page(page).text)
    assert "BM25 <x>" in text
    assert "about pandas eat bamboo" in text


def test_a_ranking_of_a_hundred_long_texts_has_a_page_of_bounded_size(overlap: Reranker) -> None:
    many = overlap.rank("fox " * 5000, [f"{number} " + "fox word " * 5000 for number in range(100)])
    assert len(many.to_html(top=10)) < 120_000


def test_the_sentence_that_was_found_is_underlined_for_any_model(overlap: Reranker) -> None:
    other = f"There is nothing here that anybody would want to see{', or hear' * 20}. " * 12
    text = f"{other}The red fox sleeps. {other}"
    page = overlap.rank("red fox", [text, "a whale"], evidence=True).to_html()
    assert '<span class="evidence">The red fox sleeps.</span>' in page
    assert "Underlined is the sentence that answers best." in check_page(page).text


def test_the_sentence_is_underlined_where_it_stands_behind_a_title(overlap: Reranker) -> None:
    document = {"title": "All about animals", "text": "Stocks fell. Pandas eat bamboo."}
    page = overlap.rank(
        "pandas eat bamboo",
        [document],
        text=lambda each: f"{each['title']}\n{each['text']}",
        body=lambda each: each["text"],
        evidence=1,
    ).to_html()
    assert '<span class="evidence">Pandas eat bamboo.</span>' in page


def test_a_title_written_from_right_to_left_is_cut_at_its_end(overlap: Reranker) -> None:
    """In a line from left to right, the dots of a title that is too long stand in place of its first words."""
    page = overlap.rank(
        "متى ينتهي العقد؟", ["ينتهي العقد بإشعار مدته أربعة أسابيع", "The office opens at nine."]
    ).to_html()
    titles = re.findall(r'<span class="title"([^>]*)>(.*?)</span>', page)
    assert len(titles) == 4
    assert all('dir="auto"' in attributes and "<bdi" not in title for attributes, title in titles)  # which has no say


def test_documents_are_called_by_what_they_are(overlap: Reranker) -> None:
    documents = [
        {"text": "a fox", "source": "one.pdf", "page": 3},
        {"text": "a red fox"},
        Passage("foxes", "the id"),
    ]
    page = overlap.rank("fox", documents, text=lambda d: d["text"] if isinstance(d, dict) else d.text).to_html()
    text = check_page(page).text
    for name in ("one.pdf · page 3", "a red fox", "the id"):
        assert name in text


def test_a_picture_is_whole_and_needs_nothing(ranking: Ranking[Passage], tmp_path: Path) -> None:
    svg = ranking.to_svg(tmp_path / "moves.svg", top=20)
    assert (tmp_path / "moves.svg").read_text(encoding="utf-8") == svg
    picture = ET.fromstring(svg)
    names = {element.tag.rpartition("}")[2] for element in picture.iter()}
    assert names == {"svg", "title", "style", "rect", "text", "path", "line"}
    assert len(picture.findall("{*}path")) == len(TEXTS)
    assert not any("href" in name for element in picture.iter() for name in element.attrib)
    ET.fromstring(Reranker(OverlapScorer()).rank("fox", []).to_svg())


def test_an_impossible_number(ranking: Ranking[Passage]) -> None:
    for show in (ranking.to_html, ranking.to_svg):
        with pytest.raises(InputError, match="top"):
            show(top=0)
        with pytest.raises(OSError, match="no-such"):
            show("no-such/folder/page.html")


def test_in_a_real_browser_nothing_runs_and_a_phone_scrolls_one_way(
    ranking: Ranking[Passage], bundled: Reranker, browser: Browser, tmp_path: Path
) -> None:
    ranking.to_html(tmp_path / "page.html")
    notebook = f"<!doctype html><meta charset=utf-8><title>clean</title>{ranking._repr_html_()}"
    (tmp_path / "notebook.html").write_text(notebook, encoding="utf-8")

    def look(page: Page) -> None:
        page.goto((tmp_path / "page.html").as_uri())
        assert page.title().startswith(QUESTION)
        assert overflow(page) == 0
        page.goto((tmp_path / "notebook.html").as_uri())
        assert page.title() == "clean"
        assert page.locator("tbody tr").count() == len(TEXTS)

    browser.visit(look, width=PHONE)


@pytest.mark.slow
def test_everything_is_reached_by_keyboard_and_readable_in_light_and_dark(
    ranking: Ranking[Passage], browser: Browser, tmp_path: Path
) -> None:
    ranking.to_html(tmp_path / "page.html")

    def look(page: Page) -> None:
        page.goto((tmp_path / "page.html").as_uri())
        assert overflow(page) == 0
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#hit-1"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        card = page.locator("details.card").nth(4)
        assert not card.evaluate("card => card.open")
        card.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert card.evaluate("card => card.open")
        page.locator("a[href='#hit-6']").focus()
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelectorAll('details.card')[5].open")  # a link opens what it leads to
        assert faint(page) == []

    for width in (1280, PHONE):
        for dark in (False, True):
            browser.visit(look, width=width, dark=dark)


def test_the_elements_of_a_page_are_closed() -> None:
    with pytest.raises(AssertionError):
        Elements("<p><b></p>")


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"title": np.array([1, 2]), "vector": np.zeros(3), "section": "Food"}, "Food"),
        ({"path": "a.pdf", "page": None, "section": None}, "a.pdf"),
        ({"path": "a.pdf", "page": 0}, "a.pdf · page 0"),
        ({"path": "a.md", "section": ["Animals", "Pandas"]}, "a.md · Animals &gt; Pandas"),
        ({"path": float("nan"), "url": Path("b.md")}, "b.md"),
        ({"path": "", "title": {"a": 1}}, "the id"),
    ],
)
def test_metadata_of_any_kind_names_a_document_or_does_not(metadata: dict[str, object], name: str) -> None:
    passage = Passage("pandas eat bamboo", "the id", metadata)
    ranking = Reranker(OverlapScorer()).rank("pandas", [passage], text=lambda given: given.text)
    page, picture = ranking.to_html(), ranking.to_svg()
    check_page(page)
    assert f'title="{name}"' in page
    assert name in picture


def test_a_title_that_says_nothing_leaves_the_name_and_one_that_is_no_function_is_refused() -> None:
    ranking = Reranker(OverlapScorer()).rank("pandas", [Passage("pandas", "the id", {})], text=lambda given: given.text)
    assert 'title="the id"' in ranking.to_html(title=lambda passage: None)  # type: ignore[arg-type, return-value]  # what a lookup that fails gives
    assert 'title="7"' in ranking.to_html(title=lambda passage: 7)  # type: ignore[arg-type, return-value]  # a number is a name
    for write in (ranking.to_html, ranking.to_svg):
        with pytest.raises(InputError, match="title is a function"):
            write(title="My search")  # type: ignore[arg-type]  # what is easily mistaken for the page's title


def test_numbers_of_any_size_are_short_and_no_number_is_nothing() -> None:
    passage = Passage("pandas", "the id", {}, similarity=math.nan)
    ranking = Reranker(ScriptedScorer([1e300])).rank("q", [passage], text=lambda each: each.text)
    text = check_page(ranking.to_html()).text
    assert "score 1e+300" in text
    assert "nan" not in text.replace("pandas", "")
