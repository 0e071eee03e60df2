"""Cutting: nothing lost, nothing too long, order kept, code and paragraphs whole where they fit."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import DenseEmbedder, InputError, load_scorer
from resift.documents.chunks import CHUNK_TOKENS, Chunks, token_rulers
from resift.documents.content import Scalar, Section, SourceDocument
from resift.documents.passages import OWN_KEYS, body, fingerprint, passages
from resift.documents.split import TextSpan, blocks, context, split
from resift.models.bundled import bundled_folder
from resift.text.tokenizer import TextTokenizer

SIZE, OVERLAP = 900, 120  # characters
MODULES = ("chunks", "content", "files", "ingest", "markdown", "passages", "plain", "readers", "records", "split")
pieces = st.sampled_from(
    ["word ", "Sentence. ", "end!\n", "\n", "\n\n", "```\n", "~~~\n", "    code\n", "\tx = 1\n", "- item\n", "| a |\n",
     "é", "漢字。", " ", "\x0c", "1. one\n", "longwordwithoutanyspace" * 3, "#", "  "]
)  # fmt: skip
texts = st.lists(pieces, max_size=60).map("".join) | st.text(max_size=300)


@cache
def tokenizer() -> TextTokenizer:
    return TextTokenizer.load(bundled_folder("small") / "tokenizer.json")


def tokens(text: str) -> list[int]:
    """Return the bundled reranker's tokens, without the special ones."""
    return list(tokenizer().encode([text])[0].ids)


def tokens_of(texts: Iterable[str]) -> list[int]:
    """Return how many tokens each text has."""
    encoded = tokenizer().encode(list(texts))
    return [len(text.ids) for text in encoded]


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
    found = [text[span.start : span.end] for span in split(text, SIZE, OVERLAP)]
    assert "\n\n".join(found) == text
    assert all(part.startswith("Paragraph") for part in found)


def test_code_is_not_torn_where_it_fits() -> None:
    code = "```python\n" + "\n\n".join(f"line_{number} = {number}" for number in range(25)) + "\n```"
    text = "Words before it. " * 30 + "\n\n" + code + "\n\n" + "Words after it. " * 30
    assert sum(code in text[span.start : span.end] for span in split(text, SIZE, OVERLAP)) == 1


def test_long_code_is_cut_at_lines_without_overlap() -> None:
    lines = [f"    value_{number} = compute({number})" for number in range(100)]
    text = "\n".join(lines)
    found = [text[span.start : span.end] for span in split(text, 300)]
    assert [line for part in found for line in part.split("\n")] == lines


def test_a_long_paragraph_is_cut_after_sentences_and_overlaps_a_little() -> None:
    text = " ".join(f"Sentence number {number} says what it says." for number in range(60))
    spans = split(text, SIZE, OVERLAP)
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
    lengths = [span.end - span.start for span in split(text, SIZE, OVERLAP)]
    assert len(lengths) == 2
    assert min(lengths) > 0.7 * max(lengths)


def test_a_text_of_a_million_characters_without_a_space_is_no_trouble() -> None:
    assert len(split("x" * 1_000_000, SIZE, OVERLAP)) < 1_000_000 / (SIZE - OVERLAP) + 2
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
    assert max(tokens_of(passage.text for passage in found)) <= CHUNK_TOKENS
    for number, passage in enumerate(found):
        assert passage.text.startswith("Guide > Install\n\nRead this.")
        assert body(passage.text, "Guide", "Install").startswith("Read this.")
        assert passage.metadata["position"] == number
        assert passage.metadata["passages"] == len(found)
        assert passage.metadata["year"] == 1867
        assert passage.metadata["start"] >= 10
    assert len({passage.id for passage in found}) == len(found)
    assert [passage.id for passage in passages([document], "docs/guide.md", "other")] == [
        passage.id for passage in found
    ]


@pytest.mark.parametrize("words", range(220, 250, 3))
def test_the_size_holds_for_the_passage_with_its_headings(words: int) -> None:
    document = SourceDocument("Guide", (Section("word " * words, ("Install on Windows", "With an installer")),))
    found = passages([document], "a", "h")
    assert max(tokens_of(passage.text for passage in found)) <= CHUNK_TOKENS
    assert len(found) == (1 if words + len(tokens("Guide > Install on Windows > With an installer")) <= 240 else 2)


def test_a_heading_of_many_tokens_leaves_two_thirds_of_the_passage_for_the_text() -> None:
    headings = ("漢字" * 20, "仮名" * 30)
    document = SourceDocument("T", (Section("word " * 300, headings),))
    found = passages([document], "a", "h", Chunks(60))
    assert max(tokens_of(passage.text for passage in found)) <= 60
    for passage in found:
        line, _, text = passage.text.partition("\n\n")
        assert len(tokens(line)) <= 20
        assert body(passage.text, "T", " > ".join(headings)) == text
        assert set(text.split()) == {"word"}


def test_what_index_makes_is_read_whole_by_the_bundled_models() -> None:
    """No window more, no truncation: for Markdown, code, a long word, and scripts that the vocabulary lacks."""
    rows = "\n".join(f"| `--option-{number}` | does_something_{number}(x, y=[1, 2]) |" for number in range(90))
    texts = [
        rows,
        f"```python\n{rows}\n```",
        "ab12cd34" * 600,
        "สวัสดีครับ ยินดีต้อนรับ " * 100,
        "漢字仮名交じり文。" * 90,
        "Straße naïve café! " * 120,
        "🙂 " * 900,
        "a-b_c/d.e:" * 200,
    ]
    document = SourceDocument("A title", tuple(Section(text, ("A heading",)) for text in texts))
    found = [passage.text for passage in passages([document], "a", "h")]
    spans = load_scorer("resift:small", long_documents="truncate").score("q", found).spans  # type: ignore[attr-defined]
    assert spans == {}
    assert max(tokens_of(found)) <= DenseEmbedder().max_length - 2


def test_a_script_that_the_vocabulary_lacks_is_cut_by_its_letters() -> None:
    """The bundled tokenizer makes a token of a whole unknown word, and a model that knows the script makes many."""
    text = "สวัสดีครับ" * 400
    spans = split(text, 240, 30, token_rulers([text])[0])
    assert max(span.end - span.start for span in spans) <= 4 * 240


def test_letters_of_several_tokens_end() -> None:
    """BERT's vocabulary has Korean syllables in parts: one is up to three tokens at the same place."""
    text = "한글 문서를 나눈다 " * 30
    (ruler,) = token_rulers([text])
    assert ruler.count(0, len(text)) > 1.2 * len(text)
    for size in (1, 2, 5, 40):
        spans = split(text, size, 0, ruler)
        assert "".join(text[span.start : span.end] for span in spans).replace(" ", "") == text.replace(" ", "")


def test_a_short_section_is_one_passage_whatever_is_in_it() -> None:
    sections = (
        Section("    indented = 1\n\n\nb.c.d.e.f", ("Head",), 5),
        Section("", ("Other",)),
        Section("x" * 230, ("H",)),
    )
    found = passages([SourceDocument("T", sections)], "a", "h")
    assert [passage.text.partition("\n\n")[0] for passage in found] == ["T > Head", "T > Other", "T > H"]
    assert found[0].text.endswith("    indented = 1\n\n\nb.c.d.e.f")


# Four at least, the most tokens that a letter has.
@given(texts, st.integers(4, 40), st.integers(0, 20))
def test_everything_is_in_some_passage_of_so_many_tokens(text: str, size: int, overlap: int) -> None:
    (ruler,) = token_rulers([text])
    spans = split(text, size, overlap, ruler)
    covered = {index for span in spans for index in range(span.start, span.end)}
    assert {index for index, letter in enumerate(text) if not letter.isspace()} <= covered
    assert all(ruler.count(*span) <= size for span in spans)
    for first, second in pairwise(spans):
        assert first.start < second.start
        assert first.end < second.end
        assert ruler.count(second.start, first.end) <= overlap


def test_a_ruler_counts_the_tokens_of_parts() -> None:
    text = "The quick brown fox, unbelievably, jumps over 12,345 dogs."
    (ruler,) = token_rulers([text])
    assert ruler.count(0, len(text)) == len(tokens(text))
    assert ruler.count(4, 15) == 2
    assert text[: ruler.after(0, 4, len(text))] == "The quick brown fox"
    assert text[ruler.before(19, 2) : 19] == "brown fox"
    assert token_rulers(["", " \n"])[1].count(0, 2) == 0


def test_a_text_of_one_long_paragraph_is_tokenised_in_pieces() -> None:
    text = "word " * 30_000 + "x" * 30_000
    (ruler,) = token_rulers([text])
    assert ruler.count(0, 150_000) == 30_000
    assert ruler.count(150_000, 180_000) >= 3_000


def test_the_size_is_part_of_the_fingerprint() -> None:
    sizes = [Chunks(), Chunks(128), Chunks(128, 0)]
    assert len({fingerprint(b"text", size) for size in sizes}) == 3
    assert fingerprint(b"text", Chunks(240, 30)) == fingerprint(b"text")


@pytest.mark.parametrize(
    ("tokens", "overlap", "message"),
    [(16, None, "chunk_tokens must be at least 32, got 16"), (90, 31, "chunk_overlap=31 is more than a third"),
     (90, -1, "chunk_overlap must be at least 0"), (2.5, None, "chunk_tokens must be a whole number")],
)  # fmt: skip
def test_an_impossible_size_is_refused(tokens: int, overlap: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Chunks(tokens, overlap)


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
    assert split("  a  ", SIZE) == [TextSpan(2, 3)]


@pytest.mark.parametrize(
    "sentence",
    [
        "अनुबंध चार सप्ताह की सूचना देकर समाप्त किया जा सकता है। ",
        "هل يمكن إنهاء العقد بإشعار مدته أربعة أسابيع؟ ",
        "معاہدہ چار ہفتے کے نوٹس پر ختم کیا جا سکتا ہے۔ ",
        "Պայմանագիրը կարող է լուծվել չորս շաբաթ առաջ։ ",
        "ውሉ በአራት ሳምንት ማስታወቂያ ሊቋረጥ ይችላል። ",
        "စာချုပ်ကို လေးပတ် ကြိုတင် အသိပေး၍ ရပ်စဲ နိုင်သည်။ ",
        "កិច្ចសន្យា អាច បញ្ចប់ បាន ដោយ ជូនដំណឹង បួន សប្តាហ៍។ ",
        "契約は四週間前の通知で解約できます｡",
    ],
    ids=["Hindi", "Arabic", "Urdu", "Armenian", "Amharic", "Burmese", "Khmer", "half width"],
)
def test_a_long_text_is_cut_after_a_sentence_in_any_script(sentence: str) -> None:
    text = (sentence * 20).strip()
    parts = split(text, len(sentence) * 3 + len(sentence) // 2)
    assert len(parts) > 4
    assert all(text[part.start : part.end].endswith(sentence.strip()[-1]) for part in parts)
