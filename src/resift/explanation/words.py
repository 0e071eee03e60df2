"""The words of a text with their places, and which word a token belongs to."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_KANA = (
    (0x3041, 0x309F, "hiragana"),
    (0x30A0, 0x30FF, "katakana"),
    (0x31F0, 0x31FF, "katakana"),
    (0xFF66, 0xFF9F, "katakana"),
)
_UNSPACED = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"))  # Thai and Lao, Burmese, Khmer
LETTERS_OF_PIECES = 1.5  # on average, from which on pieces are words
_SILENT = "|<>=~"  # signs that mark texts up
_APOSTROPHES = "'\u2019"
_SPACE, _LETTER, _IDEOGRAPH, _SYMBOL, _MARK, _OTHER = "space", "letter", "ideograph", "symbol", "mark", "other"


class Word(NamedTuple):
    """A word of a text: text[start:end]."""

    text: str
    start: int
    end: int

    @property
    def is_spoken(self) -> bool:
        """Whether it has a letter, a digit or a symbol, and so says something of its own; punctuation doesn't."""
        return any(_kind(character) not in (_OTHER, _MARK) and character not in _SILENT for character in self.text)


def find_words(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    """Return the words of text[start:end] in order. They cover everything but white space.

    A word is a run of letters and digits with the marks written on them, and the apostrophes inside. An ideograph
    stands alone; so do runs of symbols (emoji, signs) and of punctuation.

    >>> [word.text for word in find_words("Don't panic: 蛇は 🐍!")]
    ["Don't", 'panic', ':', '蛇', 'は', '🐍', '!']
    """
    stop = len(text) if end is None else min(end, len(text))
    return [Word(text[first:last], first, last) for first, last in _runs(text, start, stop)]


def read_words(words: Sequence[Word], offsets: NDArray[np.int32]) -> list[Word]:
    """Return the words, in scripts without spaces as the tokens divide them, which know words: 合同, not 合 and 同.

    Words that one token covers are joined, and a run of hiragana, Thai and the like is divided where tokens begin,
    unless most of these are single letters. `offsets` (tokens, 2) are places in the text.
    """
    inside, begins = _places(offsets)
    read: list[Word] = []
    for word in words:
        begin, text = word.start, word.text
        if read and read[-1].end == begin and begin in inside and _has_no_spaces(read[-1].text[-1] + text[0]):
            begin, text = read[-1].start, read.pop().text + text
        cuts = [
            place
            for place in range(word.start + 1, word.end if _is_divided(word.text) else 0)
            if place in begins and _kind(word.text[place - word.start]) != _MARK
        ]
        cuts = cuts if len(word.text) >= LETTERS_OF_PIECES * (len(cuts) + 1) else []
        for first, last in pairwise([begin, *cuts, word.end]):
            read.append(Word(text[first - begin : last - begin], first, last))
    return read


def _places(offsets: NDArray[np.int32]) -> tuple[set[int], set[int]]:
    """Return the places between two characters of one token, and those where tokens begin."""
    spans = [(start, end) for start, end in offsets.tolist() if end > start]
    return {place for start, end in spans for place in range(start + 1, end)}, {start for start, _ in spans}


def _has_no_spaces(text: str) -> bool:
    """Return whether all characters are of scripts that put no spaces between words."""
    return all(_kind(letter) in (_IDEOGRAPH, "hiragana", "katakana") or _is_divided(letter) for letter in text)


def _is_divided(text: str) -> bool:
    """Return whether a run of this script may be many words. Of katakana it is one: a foreign name or word."""
    return _kind(text[0]) == "hiragana" or any(first <= text[0] <= last for first, last in _UNSPACED)


def words_of_tokens(words: list[Word], offsets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the index of each token's word, (tokens,), -1 for a token without one.

    `offsets` (tokens, 2) are places in the text. A token that covers several words belongs to the one that it has
    most characters of.
    """
    starts, ends = np.array([word.start for word in words], int), np.array([word.end for word in words], int)
    owners = np.full(len(offsets), -1, int)
    for token, (start, end) in enumerate(offsets.tolist()):
        first, last = int(ends.searchsorted(start, "right")), int(starts.searchsorted(end))
        if last > first:
            shared = np.minimum(ends[first:last], end) - np.maximum(starts[first:last], start)
            owners[token] = first + int(shared.argmax())
    return owners


def _runs(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    begin, kind = start, _SPACE
    for place in range(start, stop):
        found = _kind(text[place])
        if found == _MARK and kind != _SPACE:
            continue  # belongs to what stands before it
        if found == kind and kind not in (_SPACE, _IDEOGRAPH):
            continue
        if text[place] in _APOSTROPHES and kind == _LETTER and place + 1 < stop and _kind(text[place + 1]) == _LETTER:
            continue
        if kind != _SPACE:
            yield begin, place
        begin, kind = place, _LETTER if found == _MARK else found
    if kind != _SPACE and begin < stop:
        yield begin, stop


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    code = ord(character)
    if character.isspace():
        return _SPACE
    if any(first <= code <= last for first, last in _IDEOGRAPHS):
        return _IDEOGRAPH
    for first, last, script in _KANA:
        if first <= code <= last:
            return script
    category = unicodedata.category(character)
    if category[0] in "LN" or character == "_":
        return _LETTER
    if category[0] == "M" or category in ("Cf", "Sk"):  # joiners, soft hyphens, tones of skin
        return _MARK
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return _SPACE
    return _SYMBOL if category[0] == "S" else _OTHER
