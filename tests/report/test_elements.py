"""HTML that is escaped by the way it is built."""

from __future__ import annotations

import doctest
import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift.report.elements import Html, element, join, plain, text
from resift.report.passage import Mark, marked


@pytest.mark.parametrize("name", ["elements", "moves_svg"])
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
