"""What is read of a text: the one rule for every way in. The caller's own text is never changed.

Models, embedders and BM25 know a word by its usual letters. `normalise` gives them those where a text has others:

- Compatibility forms of letters and digits become the usual ones: the ligatures that typesetting leaves in a PDF
  (U+FB00 to FB06, and the Armenian ones), full-width letters and digits, half-width katakana, mathematical alphabets,
  Roman numerals of one character, long s, digraphs such as U+01C6, the micro sign, and the radicals (U+2F00 to 2FD5)
  that PDFs of Chinese and Japanese have in place of ideographs. Many tokenizers make a word with one of them unknown.
- A letter and the accents written behind it (macOS, many PDFs) become one character.
- What takes no room is left out: soft hyphens (with the line end behind one), marks of the direction of writing, byte
  order marks, word joiners, and zero-width spaces and joiners between letters that need none.
- A form feed and other controls that divide pages, lines or fields become a space: BERT's tokenizer leaves them out,
  and the last word of a page would be one with the first of the next.
- Two halves of a surrogate pair become their character. Half a pair alone, which UTF-8 can't hold and no tokenizer
  takes, becomes U+FFFD.

What says something of its own stays: super- and subscripts, fractions, signs such as U+2116 and U+2122, circled and
squared letters (signs too: joined to a word they would change it), full-width punctuation, which tokenizers know,
ideographs of the compatibility blocks (names differ by them), Hangul jamo, and what is everyday spelling (Thai U+0E33,
Armenian U+0587). Arabic and Hebrew presentation forms stay: files that have them often hold words as they stand on the
page, from left to right, and other letters make no words of that. Zero-width joiners and spaces stay beside emoji and
beside letters of scripts that spell or divide words with them.

A text that has nothing of this is read as it is: the same object comes back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift.text.half_pairs import HALF, join_halves

_BLOCKS = (
    *(0x00B5, 0x0132, 0x0133, 0x013F, 0x0140, 0x0149, 0x017F, 0x1E9B),
    *range(0x01C4, 0x01CD),  # digraphs of Croatian
    *range(0x01F1, 0x01F4),
    *range(0x03D0, 0x03D7),  # Greek letters as formulas have them
    *range(0x03F0, 0x03FA),
    *range(0x2102, 0x2135),  # letters as formulas have them; not aleph and its kin, nor the sign U+2139
    *range(0x213A, 0x214A),
    *range(0x2160, 0x2180),  # Roman numerals
    *range(0xFB00, 0xFB07),  # ligatures
    *range(0xFB13, 0xFB18),
    *range(0xFF10, 0xFF1A),  # full width
    *range(0xFF21, 0xFF3B),
    *range(0xFF41, 0xFF5B),
    *range(0x1D400, 0x1D800),  # mathematical alphabets
)
_RADICALS = (0x2E9F, 0x2EF3, *range(0x2F00, 0x2FD6))
_LETTERS_AND_DIGITS = ("Lu", "Ll", "Lt", "Lo", "Nd", "Nl")


def _usual_letters() -> Iterator[tuple[str, str]]:
    for character in map(chr, (*_BLOCKS, *_RADICALS)):
        usual = unicodedata.normalize("NFKC", character)
        is_letter = unicodedata.category(character) in _LETTERS_AND_DIGITS or ord(character) in _RADICALS
        if usual != character and is_letter:
            yield character, usual


_USUAL = dict(_usual_letters())
"""Character → the usual letters."""
_FORM = "".join(form for form in _USUAL if form < "\U00010000") + "\U0001d400-\U0001d7ff"  # ranges are tested faster
_SOFT_HYPHEN = "\u00ad"
_JOINER = "\u200b-\u200d"
_MARK = "\u034f\u061c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0100-\U000e01ef"
_ACCENT = "\u0300-\u034e\u0350-\u036f"
_NARROW_KANA = "\uff66-\uff9f"
_BREAKS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"
_LETTER = r"[^\W\d_]"

_SPECIAL = re.compile(f"[{_FORM}{_SOFT_HYPHEN}{_JOINER}{_MARK}{_ACCENT}{HALF}{_NARROW_KANA}{_BREAKS}]")
_PIECE = re.compile(
    rf"(?P<accented>[^\W_](?:[{_SOFT_HYPHEN}{_JOINER}{_MARK}]*+[{_ACCENT}])+)"
    rf"|(?P<kana>[\u3041-\u3096\u30a1-\u30fa]?[{_NARROW_KANA}]+)"  # a narrow voiced mark may follow a wide letter
    rf"|(?P<form>[{_FORM}])"
    rf"|(?P<half>[{HALF}]+)"
    rf"|(?P<break>[{_BREAKS}])"
    rf"|(?P<joiner>[{_JOINER}])"
    rf"|(?P<mark>[{_MARK}]|{_SOFT_HYPHEN}(?:[^\S\n]*\n[^\S\n]*(?={_LETTER}))?)"
)
_NO_ROOM = re.compile(f"[{_SOFT_HYPHEN}{_JOINER}{_MARK}]")
# Beside these, zero-width joiners and spaces mean something: Hebrew to Mongolian, with Arabic and the Indic scripts,
# the later blocks of such scripts, signs and emoji, and the variation selectors of emoji.
_JOINED = re.compile(
    "[\u0590-\u1cff\u2190-\u2bff\u3030\u303d\ua800-\uabff\ufe0e\ufe0f\U00010a00-\U00011fff\U0001f000-\U0001faff]"
)
_DIVIDED_WORD = re.compile(
    # A word between hyphens is part of a compound, and such words are divided at their own hyphens only.
    # Python sees a word's end before an accent: without that in the first brackets, each letter would be a beginning.
    rf"(?<![-\u2010{_ACCENT}])\b(?P<begin>{_LETTER}[{_ACCENT}]*(?:{_LETTER}[{_ACCENT}]*)+)[-\u2010{_SOFT_HYPHEN}][^\S\n]*\n[^\S\n]*"
    rf"(?=(?P<end>{_LETTER}[{_ACCENT}]*+(?:{_LETTER}[{_ACCENT}]*+)++)(?![-\u2010]\S))"
)
_AFTER_SUSPENDED_HYPHEN = ("and", "or", "und", "oder")


class NormalText(NamedTuple):
    """A text as it is read, and where its characters stood in the caller's text."""

    text: str
    starts: NDArray[np.int32] | None = None
    """(characters + 1,): where each character's origin starts. None: the text is the caller's own."""
    ends: NDArray[np.int32] | None = None
    """(characters + 1,): where the origin of the character before each place ends."""

    @classmethod
    def of(cls, text: str) -> NormalText:
        r"""Normalise a text as `normalise` does, and keep the places.

        >>> NormalText.of("the o\ufb03ce").original(np.array([[0, 3], [4, 10]])).tolist()
        [[0, 3], [4, 8]]
        """
        edits = _edits(text)
        if not edits:
            return cls(text)
        starts, ends = [np.zeros(0, np.int32)], [np.zeros(1, np.int32)]
        position = 0
        for start, stop, new in edits:
            kept = np.arange(position, start, dtype=np.int32)
            starts += [kept, np.full(len(new), start, np.int32)]
            ends += [kept + 1, np.full(len(new), stop, np.int32)]
            position = stop
        kept = np.arange(position, len(text) + 1, dtype=np.int32)
        return cls(_apply(text, edits), np.concatenate([*starts, kept]), np.concatenate([*ends, kept[1:]]))

    def original(self, offsets: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return offsets into this text, (any, 2), as offsets into the caller's."""
        if self.starts is None or self.ends is None:
            return offsets
        start = self.starts[offsets[:, 0]]
        return np.stack([start, np.maximum(self.ends[offsets[:, 1]], start)], axis=1)


def normalise(text: str) -> str:
    r"""Return what is read of a text.

    >>> normalise("The \ufb01nancial o\ufb03ce: \uff21\uff22\uff11, fi\u00adnance, x\u00b2")
    'The financial office: AB1, finance, x²'
    """
    edits = _edits(text)
    return _apply(text, edits) if edits else text


def normalise_all(texts: Iterable[str]) -> list[str]:
    """Return what is read of each text."""
    return [normalise(text) for text in texts]


def join_divided_words(text: str) -> str:
    r"""Return a text without the hyphens at which typesetting divided words at line ends.

    Only for text that was set in lines, such as a PDF's: where an editor has broken the lines, hyphens at their ends
    belong to the words. They stay before a capital, in compounds of several hyphens, and in "pre- and post-war".

    >>> join_divided_words("a hyphen-\nated word, state-\nof-the-art, pre-\nand post-war")
    'a hyphenated word, state-\nof-the-art, pre-\nand post-war'
    """

    def join(match: re.Match[str]) -> str:
        begin, end = unicodedata.normalize("NFC", match["begin"]), match["end"]
        divided = begin[-1].islower() and end[0].islower() and end not in _AFTER_SUSPENDED_HYPHEN
        return match["begin"] if divided else match[0]

    return _DIVIDED_WORD.sub(join, text)


def _edits(text: str) -> list[tuple[int, int, str]]:
    """Return what is read otherwise: (start, stop, what is read in place of text[start:stop]), in order."""
    if text.isascii() and not any(mark in text for mark in _BREAKS):  # faster than a search
        return []
    if _SPECIAL.search(text) is None:
        return []
    return [(match.start(), match.end(), new) for match in _PIECE.finditer(text) if (new := _new(match)) != match[0]]


def _new(match: re.Match[str]) -> str:
    piece = match[0]
    if match.lastgroup == "form":
        return _USUAL.get(piece, piece)
    if match.lastgroup == "accented":
        letter, accents = piece[0], _NO_ROOM.sub("", piece[1:])
        return unicodedata.normalize("NFC", _USUAL.get(letter, letter) + accents)
    if match.lastgroup == "kana":
        return unicodedata.normalize("NFKC", piece)
    if match.lastgroup == "half":
        return "".join(_USUAL.get(character, character) for character in join_halves(piece))
    if match.lastgroup == "break":
        return " "
    if match.lastgroup == "joiner":
        text, start, end = match.string, match.start(), match.end()
        around = text[max(0, start - 1) : start] + text[end : end + 1]
        return piece if _JOINED.search(around) else ""
    return ""


def _apply(text: str, edits: list[tuple[int, int, str]]) -> str:
    pieces = []
    position = 0
    for start, stop, new in edits:
        pieces += [text[position:start], new]
        position = stop
    return "".join([*pieces, text[position:]])
