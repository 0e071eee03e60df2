"""The page in a real Chromium: what is seen, clicked, typed and kept, wide and narrow, light and dark."""

from __future__ import annotations

import io
import re
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from browser import PHONE, Browser, overflow

from resift import Reranker
from resift.playground.asgi import application
from resift.playground.judgements import Judgements
from resift.playground.session import Playground
from resift.testing import OverlapScorer

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

QUESTION = "what eats bamboo?"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture
def address(playground: Playground) -> Iterator[str]:
    """Return the address of the playground on a server of its own."""
    server = uvicorn.Server(uvicorn.Config(application(playground), lifespan="off", ws="none", log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as port:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(30)


def ask(page: Page, address: str, question: str = QUESTION) -> None:
    """Search, and wait until the best passage is explained."""
    page.goto(address)
    expect(page.get_by_role("button", name="Search")).to_be_enabled()
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    wait(page)


def wait(page: Page) -> None:
    page.wait_for_selector("#final .explained")
    page.wait_for_selector("body:not([aria-busy])")


def expect(found: Locator) -> Any:
    """Return Playwright's assertions, which wait. Its own waiting for a script is what the page's policy forbids."""
    from playwright.sync_api import expect as expected

    return expected(found)


def sources(page: Page) -> list[str]:
    return page.locator("#final .hit .source").all_inner_texts()


def test_search_explain_and_mark(browser: Browser, address: str, tmp_path: Path) -> None:
    def look(page: Page) -> None:
        ask(page, address)
        assert sources(page)[0] == "pandas.md"
        assert page.locator("#final .hit").count() == 5
        assert "candidates in" in page.locator("#status").inner_text()
        assert page.locator("#final .hit").first.locator(".word.for").count() > 0
        page.get_by_role("button", name=re.compile(r"^Right.*rank 1$")).click()
        page.wait_for_selector(".hit[data-mark=right]")
        assert "resift eval" in page.locator("#judged-panel").inner_text()

    browser.visit(look)
    assert [question["right"] for question in Judgements(tmp_path / "judgements", "zoo").questions()] == [1]


@pytest.mark.slow
def test_both_stages_are_joined_by_lines_and_light_up_together(browser: Browser, address: str) -> None:
    def look(page: Page) -> None:
        ask(page, address)
        assert page.locator("#lines path").count() == 5
        third = page.locator("#final .hit").nth(2)
        id = third.get_attribute("data-id")
        third.locator(".open").focus()
        assert page.locator("#lines path.lit").count() == 1
        assert page.locator("#first .lit-row").get_attribute("data-id") == id
        assert third.get_attribute("class").endswith("lit-row")  # type: ignore[union-attr]
        page.locator("#first .candidate").first.locator("button").hover()
        assert page.locator("#first .candidate").first.get_attribute("class").endswith("lit-row")  # type: ignore[union-attr]
        badge = page.locator("#final .hit .badge").first.inner_text()
        assert re.fullmatch(r"[↑↓]\d+|=", badge)

    browser.visit(look)


@pytest.mark.slow
def test_why_shows_words_a_heat_map_and_the_parts_of_the_score(browser: Browser, address: str) -> None:
    def look(page: Page) -> None:
        ask(page, address)
        why = page.locator("#final .hit").first.locator(".why")
        assert why.locator("svg.map rect").count() > 5
        assert "bamboo and bamboo" in why.locator("svg.map").get_attribute("aria-label")  # type: ignore[operator]
        assert why.locator("table.parts tr").last.inner_text().split()[0] == "score"
        assert "bamboo" in why.locator(".evidence").all_inner_texts()
        second = page.locator("#final .hit").nth(1)
        second.locator(".open").click()
        page.wait_for_selector("#final .hit:nth-child(2).explained")
        second.locator(".open").click()
        assert second.locator(".why").is_hidden()
        page.locator("#rest summary").click()
        page.locator("#others .hit .open").first.click()
        page.wait_for_selector("#others .explained")

    browser.visit(look)


@pytest.mark.slow
def test_settings_change_the_search_and_stay_in_the_address(browser: Browser, address: str) -> None:
    def look(page: Page) -> None:
        ask(page, address)
        page.get_by_role("spinbutton", name="Results").fill("2")
        expect(page.locator("#final .hit")).to_have_count(2)
        page.get_by_label("Model").select_option("resift:tiny")
        expect(page.locator("#final-about")).to_contain_text("tiny")
        page.get_by_label("Threshold").fill("1")
        page.wait_for_selector("#final .nothing")
        assert "relevant enough" in page.locator("#final").inner_text()
        page.get_by_label("Threshold").fill("0")
        page.get_by_label("Fusion").fill("0.9")
        expect(page.locator("#final .numbers").first).to_contain_text("fused")
        assert page.get_by_label("Threshold").is_disabled()
        page.get_by_role("combobox", name="First stage").select_option("vectors")
        expect(page.locator("#first-about")).to_contain_text("similarity")
        page.wait_for_selector("body:not([aria-busy])")
        order = sources(page)
        page.reload()
        page.wait_for_selector("#final .hit")
        page.wait_for_selector("body:not([aria-busy])")
        assert (sources(page), page.get_by_role("spinbutton", name="Results").input_value()) == (order, "2")
        assert page.get_by_label("Your question").input_value() == QUESTION

    browser.visit(look)


@pytest.mark.slow
def test_numbers_out_of_range_are_shown_as_what_is_searched_with(browser: Browser, address: str) -> None:
    def look(page: Page) -> None:
        page.goto(f"{address}#q=bamboo&model=resift:tiny&candidates=99999&top_k=many&min_relevance=7")
        page.wait_for_selector("#final .nothing")
        assert [page.locator(f"#{name}").input_value() for name in ("candidates", "top_k")] == ["500", "5"]
        assert "0 kept" in page.locator("#status").inner_text()
        for typed, shown in (("-5", "1"), ("", "50"), ("2.6", "3")):
            page.locator("#candidates").fill(typed)
            page.locator("#top_k").focus()
            expect(page.locator("#candidates")).to_have_value(shown)

    browser.visit(look)


@pytest.mark.slow
def test_marks_are_kept_taken_back_and_exported(browser: Browser, address: str, tmp_path: Path) -> None:
    def look(page: Page) -> bytes:
        ask(page, address)
        page.get_by_role("button", name=re.compile(r"^Right.*rank 1$")).click()
        page.wait_for_selector(".hit[data-mark=right]")
        page.get_by_role("button", name=re.compile(r"^Wrong.*rank 2$")).click()
        page.wait_for_selector(".hit[data-mark=wrong]")
        assert page.locator("#judged-count").inner_text() == "2"
        page.reload()
        wait(page)
        pressed = page.locator("#final .mark[aria-pressed=true]").all_inner_texts()
        assert [text.split(":")[0].strip() for text in pressed] == ["Right", "Wrong"]
        page.get_by_role("button", name=re.compile(r"^Wrong.*rank 2$")).click()
        page.wait_for_selector(".hit:not([data-mark=wrong]):nth-child(2)")
        expect(page.locator("#judged-count")).to_have_text("1")
        with page.expect_download() as download:
            page.get_by_role("link", name="Export as zip").click()
        page.get_by_role("button", name=QUESTION).click()
        wait(page)
        return Path(download.value.path()).read_bytes()

    with zipfile.ZipFile(io.BytesIO(browser.visit(look))) as archive:
        assert archive.read("qrels.tsv").decode().count("\t1\n") == 1
    assert [(row["right"], row["wrong"]) for row in Judgements(tmp_path / "judgements", "zoo").questions()] == [(1, 0)]


@pytest.mark.slow
def test_the_keyboard_is_enough(browser: Browser, address: str) -> None:
    def look(page: Page) -> None:
        page.goto(address)
        expect(page.get_by_label("Your question")).to_be_focused()
        expect(page.get_by_role("button", name="Search")).to_be_enabled()
        page.keyboard.type(QUESTION)
        page.keyboard.press("Enter")
        wait(page)
        for _ in range(40):  # to the first result
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.matches('#final .open')"):
                break
        inside = "document.activeElement.closest('[data-id]')"
        assert page.evaluate(f"[...document.querySelectorAll('#final > li')].indexOf({inside})") == 0
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("ArrowDown")
        assert page.evaluate(f"[...document.querySelectorAll('#final > li')].indexOf({inside})") == 1
        page.keyboard.press("Enter")
        page.wait_for_selector("#final .hit:nth-child(2).explained")
        page.keyboard.press("w")
        page.wait_for_selector("#final .hit:nth-child(2)[data-mark=wrong]")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("r")
        page.wait_for_selector("#final .hit:nth-child(1)[data-mark=right]")
        assert "Marked right" in page.locator("#status").inner_text()
        page.keyboard.press("u")
        page.wait_for_selector("#final .hit:nth-child(1)[data-mark='']")
        page.keyboard.press("ArrowLeft")
        assert page.evaluate("document.activeElement.closest('#first') !== null")
        page.keyboard.press("r")
        page.wait_for_selector("#first [data-mark=right]")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.closest('#final') !== null")
        page.keyboard.press("/")
        page.keyboard.type("r w u / what do koalas eat?")
        assert page.get_by_label("Your question").input_value() == "r w u / what do koalas eat?"

    browser.visit(look)


@pytest.mark.slow
@pytest.mark.parametrize("width", [PHONE, 700, 1400])
def test_nothing_is_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    def look(page: Page) -> None:
        page.goto(address)
        expect(page.get_by_role("button", name="Search")).to_be_enabled()
        assert overflow(page) == 0
        ask(page, address)
        assert overflow(page) == 0
        page.locator("#rest summary").click()
        page.get_by_role("button", name=re.compile(r"^Right.*rank 1$")).click()
        page.wait_for_selector(".hit[data-mark=right]")
        assert overflow(page) == 0
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('#final button')].map((one) => one.offsetHeight))"
        )
        assert smallest >= 24  # to be hit with a finger
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input, select')].filter((one) => !one.labels.length).map((one) => one.id)"
        )
        assert unnamed == []

    browser.visit(look, width=width)


@pytest.mark.slow
def test_dark_and_reduced_motion(browser: Browser, address: str) -> None:
    def look(page: Page) -> tuple[str, str]:
        page.emulate_media(reduced_motion="reduce")
        ask(page, address)
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
        colours: str = page.evaluate(BACKGROUND)
        return colours, page.evaluate("getComputedStyle(document.querySelector('.hit .source')).color")

    light, dark = browser.visit(look), browser.visit(look, dark=True)
    for one, other in zip(light, dark, strict=True):
        assert abs(_light(one) - _light(other)) > 300


def _light(colour: str) -> int:
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


@pytest.mark.slow
def test_hostile_texts_stay_texts(browser: Browser, address: str) -> None:
    def look(page: Page) -> None:
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        question = "<img src=x onerror=alert(9)> eats bamboo </textarea>'\""
        ask(page, address, question)
        page.locator("#rest summary").click()
        hostile = page.locator(".hit").filter(has_text="<script>alert(2)</script>").first
        hostile.locator(".open").click()
        page.wait_for_timeout(300)
        hostile.locator(".mark.right").click()
        page.wait_for_selector(".hit[data-mark=right]")
        assert "<img src=x onerror=alert(1)>" in hostile.inner_text()
        assert page.locator("#judged-panel .question").inner_text() == question
        assert repr(question)[1:-1] in page.locator("#code-text").inner_text()
        assert page.evaluate("document.querySelectorAll('main img, main script, main iframe').length") == 0

    browser.visit(look)


@pytest.mark.slow
def test_the_code_is_shown_for_all_three_and_copied(browser: Browser, address: str) -> None:
    def look(page: Page) -> list[str]:
        ask(page, address)
        page.wait_for_selector("#copy-code:not([disabled])")
        copied = []
        page.get_by_role("tab", name="Python").focus()
        for _ in range(3):
            page.get_by_role("button", name="Copy", exact=True).last.click()
            expect(page.locator("#copy-code")).to_have_text("Copied")
            copied.append(page.evaluate("navigator.clipboard.readText()"))
            page.locator("[role=tab][aria-selected=true]").focus()
            page.keyboard.press("ArrowRight")
            expect(page.locator("#copy-code")).to_have_text("Copy")
        return copied

    python, langchain, llama_index = browser.visit(look)
    assert "TwoStageSearch" in python
    assert "ResiftRetriever" in langchain
    assert "ResiftRerank" in llama_index


@pytest.mark.slow
def test_what_goes_wrong_is_said(browser: Browser, address: str, playground: Playground) -> None:
    playground.models = ("words",)
    playground._rerankers["words", None] = Reranker(OverlapScorer())

    def look(page: Page) -> None:
        page.goto(address)
        expect(page.get_by_role("button", name="Search")).to_be_enabled()
        page.get_by_label("Your question").fill(QUESTION)
        page.keyboard.press("Enter")
        page.wait_for_selector(".plan")
        assert "score up to" in page.locator(".plan").inner_text()
        page.get_by_role("button", name="Explain", exact=True).click()
        page.wait_for_selector(".explained .parts")

    browser.visit(look)
