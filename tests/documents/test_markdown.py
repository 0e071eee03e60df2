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


@pytest.mark.parametrize(
    ("front", "title", "first"),
    [
        pytest.param("title: >\n  A folded\n  title\n", "A folded title", "", id="a folded scalar"),
        pytest.param("title: |-\n  A literal\n  title\n", "A literal title", "", id="a literal scalar"),
        pytest.param("title: 'It''s here' # no\n", "It's here", "", id="single quotes"),
        pytest.param('title: "A \\"quoted\\" caf\\u00e9"\n', 'A "quoted" café', "", id="double quotes"),
        pytest.param("Title: No\n", "No", "", id="a word that YAML takes for a boolean"),
        pytest.param("title: 2024\n", "2024", "", id="a number"),
        pytest.param("title: Part 1: Basics\ndate: x\n", "Part 1: Basics", "", id="what YAML refuses"),
        pytest.param("title: [a\ntags:\n  - b\n", "[a", "", id="what YAML refuses, with a list"),
        pytest.param("title:\n", "Heading", "", id="an empty title"),
        pytest.param("title: [a, b]\n", "Heading", "", id="a title that is a list"),
        pytest.param("", "Heading", "", id="nothing"),
        pytest.param(
            "description: >-\n  How money\n  comes back.\ntags: [refund, 'two words', 3]\nkeywords: a, b,a\n",
            "Heading",
            "How money comes back.\n\nTags: refund, two words, 3, a, b",
            id="description and tags",
        ),
        pytest.param("a: &a [x]\ntags: *a\n", "Heading", "Tags: x", id="an alias"),
    ],
)
def test_yaml_front_matter(front: str, title: str, first: str) -> None:
    text = f"---\n{front}---\n# Heading\n\ntext\n"
    (document,) = read(text.encode(), "a.md")
    assert document.title == title
    texts = [section.text.strip() for section in document.sections]
    assert texts == [first, "text"] if first else texts == ["text"]
    assert document.sections[-1].start == text.index("# Heading") + len("# Heading")


def test_toml_front_matter() -> None:
    text = '+++\ntitle = "A \\"b\\""\ndate = 2024-01-01\ntags = ["x"]\n[extra]\na = 1\n+++\ntext\n'
    (document,) = read(text.encode(), "a.md")
    assert (document.title, [section.text for section in document.sections]) == ('A "b"', ["Tags: x", "text\n"])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("---\n\nSome text.\n\n---\n\nMore.\n", id="text between two rules"),
        pytest.param("---\n# A heading\n\n---\nMore.\n", id="a heading between two rules"),
        pytest.param("---\nJust one line\n---\nMore.\n", id="a line between two rules"),
        pytest.param("---\n- a\n- b\n---\nMore.\n", id="a list between two rules"),
        pytest.param("---\ntitle: never closed\n\nText.\n", id="nothing closes it"),
        pytest.param('---\nHe said: "no" and\nwent: away\n---\nMore.\n', id="words with colons"),
        pytest.param("+++\nnot TOML\n+++\nMore.\n", id="text between pluses"),
        pytest.param("---\n" + "[" * 5000 + "\n---\nMore.\n", id="nested too deeply"),
        pytest.param("\n---\ntitle: x\n---\nMore.\n", id="not at the top"),
        pytest.param("---\na: " + "x" * 40_000 + "\n---\nMore.\n", id="too long"),
    ],
)
def test_what_is_no_front_matter_is_text(text: str) -> None:
    (document,) = read(text.encode(), "the_file.md")
    assert "".join(" ".join(section.headings) + section.text for section in document.sections).count("More") == (
        "never" not in text
    )
    kept = "".join("".join(section.headings) + section.text for section in document.sections)
    for word in text.split():
        assert word in kept or set(word) <= set("-#")


def test_comments_are_no_headings() -> None:
    assert sections("# Install <!-- omit in toc -->\na\n## <!-- ## Old -->\nb\n<!--\n# Old\n-->\nNew\n---\n") == [
        ("Install", "a\n## <!-- ## Old -->\nb\n<!--\n# Old\n-->"),
        ("Install > New", ""),
    ]
    assert sections("# A <!-- b --> c <!-- d\n") == [("A  c <!-- d", "")]
