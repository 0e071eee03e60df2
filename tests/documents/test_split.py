"""Cutting: nothing lost, nothing too long, order kept, code and paragraphs whole where they fit."""

from __future__ import annotations

import doctest
import importlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift.documents.content import Scalar, Section, SourceDocument
from resift.documents.passages import OWN_KEYS, body, passages
from resift.documents.split import OVERLAP, SIZE, TextSpan, blocks, context, split

MODULES = ("content", "files", "ingest", "markdown", "passages", "plain", "readers", "records", "split")
pieces = st.sampled_from(
    ["word ", "Sentence. ", "end!\n", "\n", "\n\n", "```\n", "~~~\n", "    code\n", "\tx = 1\n", "- item\n", "| a |\n",
     "é", "漢字。", " ", "\x0c", "1. one\n", "longwordwithoutanyspace" * 3, "#", "  "]
)  # fmt: skip
texts = st.lists(pieces, max_size=60).map("".join) | st.text(max_size=300)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"resift.documents.{name}")).failed == 0


@given(texts, st.integers(1, 80), st.integers(0, 40))
def test_everything_is_in_some_passage_and_none_is_too_long(text: str, size: int, overlap: int) -> None:
    spans = split(text, size, overlap)
    covered = {index for span in spans for index in range(span.start, span.end)}
    assert {index for index, letter in enumerate(text) if not letter.isspace()} <= covered
    assert all(span.end - span.start <= size for span in spans)
    assert all(text[span.start : span.end].strip() for span in spans)


@given(texts, st.integers(1, 80), st.integers(0, 40))
def test_passages_keep_the_order_and_each_brings_something_new(text: str, size: int, overlap: int) -> None:
    spans = split(text, size, overlap)
    for first, second in pairwise(spans):
        assert first.start < second.start
        assert first.end < second.end
        assert first.end - second.start <= overlap


@given(texts)
def test_text_that_fits_is_one_passage(text: str) -> None:
    spans = split(text, max(1, len(text)))
    assert len(spans) == (1 if text.strip() else 0)


def test_paragraphs_are_whole_where_they_fit() -> None:
    paragraphs = [f"Paragraph {number} " + "goes on and on. " * 15 for number in range(12)]
    text = "\n\n".join(paragraph.strip() for paragraph in paragraphs)
    found = [text[span.start : span.end] for span in split(text)]
    assert "\n\n".join(found) == text
    assert all(part.startswith("Paragraph") for part in found)


def test_code_is_not_torn_where_it_fits() -> None:
    code = "```python\n" + "\n\n".join(f"line_{number} = {number}" for number in range(25)) + "\n```"
    text = "Words before it. " * 30 + "\n\n" + code + "\n\n" + "Words after it. " * 30
    assert sum(code in text[span.start : span.end] for span in split(text)) == 1


def test_long_code_is_cut_at_lines_without_overlap() -> None:
    lines = [f"    value_{number} = compute({number})" for number in range(100)]
    text = "\n".join(lines)
    found = [text[span.start : span.end] for span in split(text, 300)]
    assert [line for part in found for line in part.split("\n")] == lines


def test_a_long_paragraph_is_cut_after_sentences_and_overlaps_a_little() -> None:
    text = " ".join(f"Sentence number {number} says what it says." for number in range(60))
    spans = split(text)
    assert len(spans) > 2
    assert all(text[span.end - 1] == "." and text[span.start : span.start + 8] == "Sentence" for span in spans)
    assert all(0 < first.end - second.start <= OVERLAP for first, second in pairwise(spans))


def test_an_abbreviation_ends_no_sentence() -> None:
    text = "Alpha beta gamma etc.  delta epsilon zeta eta theta iota kappa"
    assert [text[span.start : span.end] for span in split(text, 40, 0)] == [
        "Alpha beta gamma etc.  delta",
        "epsilon zeta eta theta iota kappa",
    ]


def test_parts_are_about_equal() -> None:
    text = " ".join(f"Sentence number {number} says what it says." for number in range(24))  # a little over SIZE
    lengths = [span.end - span.start for span in split(text)]
    assert len(lengths) == 2
    assert min(lengths) > 0.7 * max(lengths)


def test_a_text_of_a_million_characters_without_a_space_is_no_trouble() -> None:
    assert len(split("x" * 1_000_000)) < 1_000_000 / (SIZE - OVERLAP) + 2
    assert len(blocks("```\n" * 50_000)) > 0


def test_context_names_title_and_headings_and_stays_short() -> None:
    assert context("", ()) == ""
    assert context("Title", ()) == "Title"
    assert len(context("Title", ("very " * 100, "deep " * 100))) == 200
    assert context("t" * 150, ("h" * 60,)) == "… > " + "h" * 60


def test_passages_stand_alone_within_the_size() -> None:
    document = SourceDocument("Guide", (Section("Read this. " * 300, ("Guide", "Install"), 10),), {"year": 1867})
    found = passages([document], "docs/guide.md", "hash")
    assert len(found) > 3
    for number, passage in enumerate(found):
        assert passage.text.startswith("Guide > Install\n\nRead this.")
        assert len(passage.text) <= SIZE
        assert body(passage.text, "Guide", "Install").startswith("Read this.")
        assert passage.metadata["position"] == number
        assert passage.metadata["passages"] == len(found)
        assert passage.metadata["year"] == 1867
        assert passage.metadata["start"] >= 10
    assert len({passage.id for passage in found}) == len(found)
    assert [passage.id for passage in passages([document], "docs/guide.md", "other")] == [
        passage.id for passage in found
    ]


@pytest.mark.parametrize("words", range(170, 190))
def test_the_size_holds_for_the_passage_with_its_headings(words: int) -> None:
    document = SourceDocument("Guide", (Section("word " * words, ("Install on Windows", "With an installer")),))
    assert all(len(passage.text) <= SIZE for passage in passages([document], "a", "h"))


def test_a_heading_with_nothing_under_it_is_a_passage_unless_the_next_one_names_it() -> None:
    sections = (Section(" ", ("A",)), Section("\n", ("A", "B")), Section("text", ("C",)))
    assert [passage.text for passage in passages([SourceDocument("T", sections)], "a", "h")] == [
        "T > A > B",
        "T > C\n\ntext",
    ]


def test_a_records_field_never_hides_where_a_passage_comes_from() -> None:
    fields: dict[str, Scalar] = {"path": "mine", "ok": 1, "#no": 2, "": 3, "chroma:x": 4}
    found = passages([SourceDocument("", (Section("text"),), fields)], "real", "h")[0]
    assert found.text == "text"
    assert found.metadata["path"] == "real"
    assert {key: found.metadata[key] for key in found.metadata if key not in OWN_KEYS} == {
        "record_path": "mine",
        "ok": 1,
        "record_#no": 2,
        "record_": 3,
        "record_chroma:x": 4,
    }


def test_spans_are_offsets() -> None:
    assert split("  a  ") == [TextSpan(2, 3)]
