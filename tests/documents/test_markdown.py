"""Headings of Markdown where CommonMark and a line-by-line reading differ; the rest is in `test_readers`."""

from __future__ import annotations

import pytest

from resift.documents import read

Sections = list[tuple[str, str]]


def sections(text: str) -> Sections:
    """The headings of each section, and its text."""
    (document,) = read(text.encode(), "a.md")
    for section in document.sections:
        assert section.start is not None
        assert text[section.start :].startswith(section.text)
    return [(" > ".join(section.headings), section.text.strip()) for section in document.sections]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "# A\n\n```\n# no\n```sh\n# no\n```\n\n# B\n",
            [("A", "```\n# no\n```sh\n# no\n```"), ("B", "")],
            id="a fence with a language ends no fence",
        ),
        pytest.param(
            "# A\n\n``` is `code` ```\n\n# B\n",
            [("A", "``` is `code` ```"), ("B", "")],
            id="code in a line is no fence",
        ),
        pytest.param(
            "````\n```\n# no\n````\n# A\n", [("", "````\n```\n# no\n````"), ("A", "")], id="a fence inside a longer one"
        ),
        pytest.param("~~~\n# no\n```\n# no", [("", "~~~\n# no\n```\n# no")], id="a fence that nothing ends"),
        pytest.param("<!--\n# no\n\n# no\n-->\n\n# A", [("", "<!--\n# no\n\n# no\n-->"), ("A", "")], id="a comment"),
        pytest.param("<pre>\n# no\n\n# no\n</pre>\n# A", [("", "<pre>\n# no\n\n# no\n</pre>"), ("A", "")], id="HTML"),
        pytest.param(
            "A title of\ntwo lines\n=====\ntext", [("A title of two lines", "text")], id="an underlined paragraph"
        ),
        pytest.param("- item\n---\ntext", [("", "- item\n---\ntext")], id="a rule under a list"),
        pytest.param("> one\ntwo\n---\ntext", [("", "> one\ntwo\n---\ntext")], id="a rule under a quotation"),
        pytest.param("> # no\n\n- # no\n\n# A", [("", "> # no\n\n- # no"), ("A", "")], id="quoted, or a list item"),
        pytest.param("1. a\n\n   ## B\n\n   text", [("", "1. a"), ("B", "text")], id="a heading inside a list item"),
        pytest.param("10. a\n\n    ## B\n\n    text", [("", "10. a"), ("B", "text")], id="the same, further right"),
        pytest.param("    # no\n\n# A", [("", "# no"), ("A", "")], id="indented code"),
        pytest.param("\\# no\n\n####### no\n\n#no", [("", "\\# no\n\n####### no\n\n#no")], id="no heading"),
        pytest.param("#\n\n## \n\ntext", [("", ""), (" > ", "text")], id="headings without words"),
        pytest.param("# A ## #\n\n## B \\#\n", [("A ##", ""), ("A ## > B \\#", "")], id="marks that close a heading"),
        pytest.param("# A\0B\n\x0c\n# C\r\n", [("A\ufffdB", ""), ("C", "")], id="odd characters"),
    ],
)
def test_headings_are_those_of_commonmark(text: str, expected: Sections) -> None:
    assert sections(text.replace("\r\n", "\n")) == expected


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("[Install](http://x) [now](y 'z')", "Install now"),
        ("Guide [![Build](http://x/a.svg)](http://x)", "Guide Build"),
        ("[the (old) way](http://x/(a)_b)", "the (old) way"),
        ("`code`, **bold** and *not*", "code, bold and *not*"),
        ("Install {#install}", "Install"),
        ("A set {a} {#b}", "A set {a}"),
        ("{#only}", ""),
        ("A {#b} c", "A {#b} c"),
        ("[x] [y](z", "[x] [y](z"),
    ],
)
def test_a_title_is_words_without_marks(heading: str, title: str) -> None:
    assert sections(f"## {heading}\n") == [(title, "")]


def test_front_matter_is_no_part_of_the_text_and_offsets_count_it() -> None:
    text = "---\ntitle: Mine\n# no\n---\nA\n===\n\n# B\n"
    assert sections(text) == [("A", ""), ("B", "")]
    (document,) = read(text.encode(), "a.md")
    assert document.title == "Mine"
    assert [section.start for section in document.sections] == [text.index("===\n") + 3, text.index("# B") + 3]
