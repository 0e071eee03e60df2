"""The terms of a text: what is indexed of passages, and what is looked up of queries. One rule for both.

- A word is what letters, digits, marks and underscores make; apostrophes and hyphens divide. `snake_case` and
  `camelCase` count whole and in their parts, since code and questions about it write both.
- Scripts that put no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), and Korean, whose particles
  are joined to words, give each character with its marks and each pair of neighbours.
- Letters are read as everywhere (`text/normal.py`), then by NFKC and casefold. Nothing is stemmed, no word is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from resift.text.normal import normalise

LONGEST = 64  # characters of a term: longer ones are no words, and the same beginning tells them apart well enough

_MARKED_BLOCKS = (*range(0x300, 0x1D00), *range(0xA800, 0xAC00), *range(0x11000, 0x11800))


def _ranges(characters: list[int]) -> str:
    """Return what stands for these characters in brackets of a regular expression."""
    parts = []
    start = previous = characters[0]
    for character in [*characters[1:], 0]:
        if character != previous + 1:
            parts.append(f"{chr(start)}-{chr(previous)}")
            start = character
        previous = character
    return "".join(parts)


_MARK = _ranges([point for point in _MARKED_BLOCKS if unicodedata.category(chr(point)) in ("Mn", "Mc")])
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Hangul
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # ideographs
)
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_WORD = re.compile(rf"[\w{_MARK}]+")  # Python's \w has no marks, without which words of India fall apart
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_STARTS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_CLUSTER = re.compile(f".[{_MARK}]*", re.DOTALL)
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_HAS_HUMP = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|_")


def terms(text: str) -> list[str]:
    """Return the terms of a text, in their order, repeated ones too.

    >>> terms("Don't call getUser_name()")
    ['don', 't', 'call', 'getuser_name', 'get', 'user', 'name']
    >>> terms("東京タワーへ")
    ['東', '東京', '京', '京タ', 'タ', 'タワ', 'ワ', 'ワー', 'ー', 'ーへ', 'へ']
    """
    text = normalise(text)
    words = _ASCII_WORD.findall(text) if text.isascii() else _WORD.findall(unicodedata.normalize("NFKC", text))
    found: list[str] = []
    for word in words:
        for run in (word,) if word.isascii() else _RUN.findall(word):
            if run.isascii():
                found.append(run.lower()[:LONGEST])
                if _HAS_HUMP.search(run):
                    found += [part.lower()[:LONGEST] for part in _HUMP.findall(run)]
            else:
                found += _pairs(run) if _STARTS_UNSPACED.match(run) else [_fold(run)[:LONGEST]]
    return found


def _fold(word: str) -> str:
    """Return a word without case; of Turkish capitals without the dot too, which the small letter already has."""
    return word.casefold().replace("i\u0307", "i")


def _pairs(run: str) -> Iterator[str]:
    """Yield each character with its marks, and each pair of neighbours."""
    clusters = _CLUSTER.findall(run.casefold())
    for cluster, following in zip(clusters, [*clusters[1:], ""], strict=True):
        yield cluster
        if following:
            yield cluster + following
