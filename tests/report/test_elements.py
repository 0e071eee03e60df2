"""HTML that is escaped by the way it is built."""

from __future__ import annotations

import doctest
import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift.report.elements import Html, element, join, plain, text
from resift.report.letters import BOLD, text_width
from resift.report.moves import Place
from resift.report.moves_svg import fit, moves_picture
from resift.report.passage import Mark, marked


@pytest.mark.parametrize("name", ["elements", "letters", "moves_svg"])
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"resift.report.{name}")).failed == 0


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_shown_as_it_is(content: str) -> None:
    shown = element("p", content, title=content)
    shown.encode()
    assert shown.count("<") == 2
    assert shown.count('"') == 2


def test_html_stays_and_all_else_is_escaped() -> None:
    assert join(Html("<b>"), "<b>", None, 3) == "<b>&lt;b&gt;3"
    assert element("p", text("<"), element("i", "&")) == "<p>&lt;<i>&amp;</i></p>"
    assert element("input_", hidden=True, class_=None, aria_label="'") == '<input_ hidden aria-label="&#x27;"></input_>'


@given(st.text("ab <&\x00\ud800", max_size=30), st.data())
def test_marks_lose_nothing(content: str, data: st.DataObject) -> None:
    places = st.integers(0, len(content))
    start, end = sorted((data.draw(places), data.draw(places)))
    evidence = tuple(sorted((data.draw(places), data.draw(places))))
    marks = [Mark(place, place + 1, 1 - 2 * (place % 2)) for place in range(0, len(content), 2)]
    shown = marked(content, marks, evidence, (start, end))
    letters = "".join(part.partition(">")[2] for part in ("<>" + shown).split("<"))
    expected = text(content[start:end])
    assert letters == ("… " if start > 0 else "") + expected + (" …" if end < len(content) else "")


def test_plain_leaves_any_character_that_a_page_can_hold() -> None:
    assert plain("a\tb\n🐍\u202e\ufffe\x7f") == "a\tb\n🐍\u202e\ufffd\x7f"


@pytest.mark.parametrize("weight", ["normal", "bold"])
@pytest.mark.parametrize("line", [
    "bamboo", "what eats bamboo?", "INVOICE OF THE MINISTRY OF WOMEN", "WWWWWWWWWW", "mmmmmmmm", "illiilli",
    "Übergröße", "Привет, Щукин", "notes.md · 12 > 3", "a_b_c@d.example", "0123456789 %", "e\u0301clair",
])  # fmt: skip
def test_text_takes_no_more_room_than_is_thought(line: str, weight: str) -> None:
    textpath, fonts = pytest.importorskip("matplotlib.textpath"), pytest.importorskip("matplotlib.font_manager")
    font = fonts.FontProperties(family="DejaVu Sans", weight=weight)
    drawn = textpath.TextPath((0, 0), line, size=1, prop=font).get_extents().width
    thought = text_width(line) * (BOLD if weight == "bold" else 1)
    assert drawn - 0.1 <= thought <= 1.8 * drawn + 0.2
    cut = fit(line * 9, 12)
    assert cut.endswith("…")
    assert text_width(cut) <= 12


def test_ranks_are_never_cut() -> None:
    places = [Place("far", 1500, 1), Place("near", 100, 2)]
    picture = moves_picture(places, title="q", before="a", after="b", shown=5)
    for said in (">1500<", ">100<", ">▲ 1499<", ">▲ 98<"):
        assert said in picture
