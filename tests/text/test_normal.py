"""What is read of a text: letters in other forms, marks without room, half surrogate pairs; and where it stood."""

from __future__ import annotations

import doctest
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift.models.bundled import bundled_folder
from resift.text import normal
from resift.text.half_pairs import replace_half_pairs
from resift.text.normal import NormalText, join_divided_words, normalise
from resift.text.tokenizer import TextTokenizer

TOKENIZER = TextTokenizer.load(bundled_folder("small") / "tokenizer.json")
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"

READ = {
    "The \ufb01nancial o\ufb03ce, \ufb02oor, e\ufb00ect, ba\ufb04e": "The financial office, floor, effect, baffle",
    "fa\ufb05 and \ufb06eam": "fast and steam",
    "\uff30\uff59\uff54\uff48\uff4f\uff4e \uff13\uff0e\uff11\uff11": "Python 3\uff0e11",
    "\uff76\uff9e\uff97\uff7d \uff8a\uff9f\uff9d": "\u30ac\u30e9\u30b9 \u30d1\u30f3",
    "\uff71\uff70\uff84": "\u30a2\u30fc\u30c8",
    "\u30ab\uff9e\u30e9\u30b9": "\u30ac\u30e9\u30b9",
    "\U0001d405\U0001d422\U0001d427\U0001d41a\U0001d427\U0001d41c\U0001d41e \U0001d7cf\U0001d7d7": "Finance 19",
    "\U0001d4bd\u212f\U0001d4c1\U0001d4c1\u2134, \u210e, \u211d": "hello, h, R",
    "Louis \u2169\u2163, \u2178": "Louis XIV, ix",
    "\u017ftand\u017ften": "standsten",
    "\u01c6ep, \u0133s, co\u0140laborar, \u0149": "d\u017eep, ijs, col\u00b7laborar, \u02bcn",
    "5 \u00b5m, \u03d5, \u03f5": "5 \u03bcm, \u03c6, \u03b5",
    "\u2f47\u672c\u306e\u2f08": "\u65e5\u672c\u306e\u4eba",
    "cafe\u0301s, Zu\u0308rich": "caf\u00e9s, Z\u00fcrich",
    "co\u00adop\u00ader\u00adate": "cooperate",
    "finan\u00ad\n   cial and finan\u00ad \ncial": "financial and financial",
    "a dash\u00ad\n- item": "a dash\n- item",
    "fin\u200bance \u200bfox\u200d \ufeffstart wo\u2060rd": "finance fox start word",
    "shelf\u200cful \u200eabc\u200f \u202dAB\u202c \u2068x\u2069": "shelfful abc AB x",
    "\u8fbb\U000e0100\u3055\u3093": "\u8fbb\u3055\u3093",
    "e\u200b\u0301t\u00ade\u0301": "\u00e9t\u00e9",
    "x \ud835 y \udc00 z": "x \ufffd y \ufffd z",
    "\ud835\udc00B": "AB",
    "caf\udce9": "caf\ufffd",
    "the end\x0cA new page": "the end A new page",
    "a line\x0bof a slide\x85and\x1fa field of caf\u00e9s": "a line of a slide and a field of caf\u00e9s",
}
KEPT = (
    "plain words, in ASCII\x00",
    "Z\u00fcrich na\u00efve Stra\u00dfe \u00e6sthetic \u0153uvre \u0142\u00f3d\u017a \u0111\u00e3",
    "x\u00b2 \u00bd 1\u20444 H\u2082O n\u00ba a\u207f \u2116 5 \u2122 \u2120 \u2121",
    "\u2460\u2461 \u24b6 \U0001f130 \u338f \u33a1 \u2139\ufe0f",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\uff08\u5168\u89d2\uff09\uff1f\u3000\uff5e",
    "\ufeb3\ufefc\ufdfa \ufb2a\ufb2b",
    "\uac00 \u1100\u1161 \u3131 \uffa1",
    "\u8c48 \ufa11 \uf900 \u51de",
    "\u0e19\u0e49\u0e33 \u0eb3 \u0587",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0915\u094d\u200d\u0937 \u0dc1\u0dca\u200d\u0dbb\u0dd3",
    "\u1781\u17d2\u1798\u17c2\u179a\u200b\u1797\u17b6\u179f\u17b6",
    f"{FAMILY} \u2764\ufe0f\u200d\U0001f525 \U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f600 \U00020000",
)
ANY_TEXT = st.text(
    st.one_of(
        st.sampled_from(
            ["\ufb03", "\uff41", "\uff76", "\uff9e", "\u00ad", "\u200b", "\u200d", "\ud835", "\udc00", "\u0301"]
        ),
        st.sampled_from("ab \n-\u00e9\u30ab\u0915\U0001f469"),
        st.characters(),
    ),
    max_size=30,
)


@pytest.mark.parametrize(("text", "read"), READ.items())
def test_a_word_is_read_by_its_usual_letters(text: str, read: str) -> None:
    assert normalise(text) == read
    assert normalise(read) is read
    assert NormalText.of(text).text == read


@pytest.mark.parametrize("text", KEPT)
def test_what_says_something_of_its_own_is_read_as_it_is(text: str) -> None:
    assert normalise(text) is text


@given(ANY_TEXT)
def test_whatever_a_text_holds_a_tokenizer_takes_it_and_offsets_are_in_the_callers_text(text: str) -> None:
    (tokens,) = TOKENIZER.encode([text])
    (expected,) = TOKENIZER.encode([normalise(text)])
    assert tokens.ids.tolist() == expected.ids.tolist()
    starts, ends = tokens.offsets[:, 0], tokens.offsets[:, 1]
    assert ((starts >= 0) & (starts <= ends) & (ends <= len(text))).all()
    assert (np.diff(starts) >= 0).all()
    assert normalise(text).encode().decode() == normalise(text)


@given(ANY_TEXT)
def test_each_character_knows_its_origin(text: str) -> None:
    read = NormalText.of(text)
    if read.text == text:
        assert read.starts is None
        return
    whole = read.original(np.array([[0, len(read.text)]], np.int32))
    assert whole[0, 1] <= len(text)
    for index, character in enumerate(read.text):
        ((start, end),) = read.original(np.array([[index, index + 1]], np.int32)).tolist()
        origin = unicodedata.normalize("NFKC", replace_half_pairs(text[start:end]))
        origin = " " if origin.isspace() else origin
        assert character in origin or character in unicodedata.normalize("NFC", text[start:end]), (character, origin)


def test_offsets_point_at_the_callers_words() -> None:
    text = "The \ufb01nan\u00adcial o\ufb03ce is \uff4f\uff50\uff45\uff4e"
    (tokens,) = TOKENIZER.encode([text])
    words = [text[start:end] for start, end in tokens.offsets]
    assert words == ["The", "\ufb01nan\u00adcial", "o\ufb03ce", "is", "\uff4f\uff50\uff45\uff4e"]


@pytest.mark.parametrize("needed", [1, 3, 50])
def test_the_beginning_of_a_long_text_has_the_same_tokens(needed: int) -> None:
    text = "\u200b" * 9000 + "the o\ufb03ce \u00adis open " * 3000
    (whole,), (part,) = TOKENIZER.encode([text]), TOKENIZER.encode([text], needed)
    assert len(part.ids) > needed
    count = needed + 1
    assert part.ids[:count].tolist() == whole.ids[:count].tolist()
    assert part.offsets[:count].tolist() == whole.offsets[:count].tolist()


def test_half_pairs_alone_are_replaced_where_a_text_is_stored_or_sent() -> None:
    text = "o\ufb03ce \u00ad \ud835 \ud83d\ude00"
    assert replace_half_pairs(text) == "o\ufb03ce \u00ad \ufffd \U0001f600"
    assert replace_half_pairs(KEPT[1]) == KEPT[1]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("hyphen-\nated", "hyphenated"),
        ("gro\u00df-\nartig", "gro\u00dfartig"),
        ("caf\u00e9-\nteria, cafe\u0301-\nteria", "caf\u00e9teria, cafe\u0301teria"),
        ("o\ufb00-\nice, \ufb01nan-\ncial, Au\ufb02a-\nge", "o\ufb00ice, \ufb01nancial, Au\ufb02age"),
        ("inter-\nnatio-\nnal", "international"),
        ("Finan-  \n  cial", "Financial"),
        ("finan\u2010\ncial, finan\u00ad\ncial", "financial, financial"),
        (
            "\u043f\u0440\u0438-\n\u043c\u0435\u0440, \u03c0\u03b1-\n\u03c1\u03ac",
            "\u043f\u0440\u0438\u043c\u0435\u0440, \u03c0\u03b1\u03c1\u03ac",
        ),
        ("\u0142\u00f3d\u017a-\n\u015bci", "\u0142\u00f3d\u017a\u015bci"),
    ],
)
def test_words_divided_at_a_line_end_are_joined(text: str, joined: str) -> None:
    assert join_divided_words(text) == joined


@pytest.mark.parametrize(
    "text",
    [
        "M\u00fcller-\nMeier",
        "U-\nBoot",
        "COVID-\n19",
        "state-\nof-the-art",
        "end-to-\nend",
        "pre-\nand post-war",
        "Haupt-\nund Nebensatz",
        "x-\nray",
        "- item-\n- other",
        "a --\nb",
        "\u05d0\u05d1-\n\u05d2\u05d3",
    ],
)
def test_hyphens_that_belong_to_a_word_stay(text: str) -> None:
    assert join_divided_words(text) == text


def test_joining_takes_time_in_proportion_to_the_text() -> None:
    for text in ("a-" * 100_000, "a" * 200_000 + "-\n", "ab-\n" * 50_000, "a\u0301" * 100_000, "\u00ad" * 200_000):
        join_divided_words(text)  # minutes, if it were quadratic
        normalise(text)


def test_examples() -> None:
    assert doctest.testmod(normal).failed == 0
