"""Words, sentences and tokens lie where they say, in any script."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift.explanation.words import find_words, read_words, words_of_tokens
from resift.text.sentences import find_sentences

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)


def texts(text: str) -> list[str]:
    return [word.text for word in find_words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't feed the dogs' bowls", ["Don't", "feed", "the", "dogs", "'", "bowls"]),
        ("well-known C++ (v2.0)", ["well", "-", "known", "C", "++", "(", "v2", ".", "0", ")"]),
        ("cafe\u0301 na\u00efve", ["cafe\u0301", "na\u00efve"]),
        ("हिन्दी में साँप", ["हिन्दी", "में", "साँप"]),
        ("蛇が好き、カメも", ["蛇", "が", "好", "き", "、", "カメ", "も"]),
        ("👩\u200d🚀🐍 hi", ["👩\u200d🚀🐍", "hi"]),
        ("co\u00adop \u200fנחש", ["co\u00adop", "\u200fנחש"]),
        ("  \n\t", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert texts(text) == words


@given(ANY_TEXT)
def test_words_and_sentences_cover_everything_but_white_space_and_lie_where_they_say(text: str) -> None:
    words = find_words(text)
    assert all(text[word.start : word.end] == word.text for word in words)
    assert all(left.end <= right.start for left, right in pairwise(words))
    inside = {place for word in words for place in range(word.start, word.end)}
    assert all(place in inside for place, character in enumerate(text) if character.isalnum())
    sentences = find_sentences(text)
    said = {place for sentence in sentences for place in range(sentence.start, sentence.end)}
    assert all(place in said for place, character in enumerate(text) if not character.isspace())
    assert sum(sentence.end - sentence.start for sentence in sentences) == len(said)


@given(ANY_TEXT, st.integers(0, 60), st.integers(0, 60))
def test_a_part_of_a_text_has_its_own_words_at_their_places_in_the_whole(text: str, start: int, end: int) -> None:
    for found in (*find_words(text, start, end), *find_sentences(text, start, end)):
        assert start <= found.start < found.end <= min(end, len(text))


def test_punctuation_says_nothing_and_signs_do() -> None:
    words = find_words("Snakes, 🐍 + ...!")
    assert [word.text for word in words if word.is_spoken] == ["Snakes", "🐍", "+"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("e.g. this one. Next.", ["e.g. this one.", "Next."]),
        ("蛇。龟！", ["蛇。", "龟！"]),
        ("# Title\n\nText here.\n- item", ["# Title", "Text here.", "- item"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end, _ in find_sentences(text)] == sentences


def test_a_token_belongs_to_the_word_that_it_has_most_of() -> None:
    words = find_words("ball pythons eat")
    offsets = np.array([[0, 4], [5, 11], [11, 12], [11, 16], [4, 5], [3, 7], [7, 7]], np.int32)
    assert words_of_tokens(words, offsets).tolist() == [0, 1, 1, 2, -1, 1, 1]
    assert words_of_tokens([], offsets).tolist() == [-1] * 7


@pytest.mark.parametrize(
    ("text", "pieces", "words"),
    [
        ("合同的通知2024年, ok", "合同 的 通知 2024 年 , ok", "合同 的 通知 2024 年 , ok"),
        ("予告期間はどれくらいですか", "予告 期間 はどれ くらい ですか", "予告 期間 はどれ くらい ですか"),
        ("会議はコンピューターで", "会議 は コン ピュ ーター で", "会議 は コンピューター で"),
        ("กรุงเทพเป็นเมืองหลวง", "กรุงเทพ เป็น เมือง หลวง", "กรุงเทพ เป็น เมือง หลวง"),
        ("ที่นี่", "ท ี่น ี่", "ที่นี่"),  # no word begins with a mark
        ("合同のことば", "合 同 の こ と ば", "合 同 のことば"),  # a vocabulary of letters tells nothing
        ("Kündigungsfrist ist", "Kündigung s frist ist", "Kündigungsfrist ist"),
        ("蛇 龟", "蛇 龟", "蛇 龟"),
        ("", "", ""),
    ],
)
def test_words_of_scripts_without_spaces_are_the_pieces_that_the_model_reads(
    text: str, pieces: str, words: str
) -> None:
    ends = [0]
    offsets = []
    for piece in pieces.split():
        start = text.index(piece, ends[-1])
        ends.append(start + len(piece))
        offsets.append((start, ends[-1]))
    read = np.array(offsets, np.int32).reshape(-1, 2)
    found = read_words(find_words(text), read)
    assert " ".join(word.text for word in found) == words
    assert all(text[word.start : word.end] == word.text for word in found)
    assert sorted(set(words_of_tokens(found, read).tolist())) == list(range(len(found))), "each is read"
