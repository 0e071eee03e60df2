"""Where to cut a long text into passages, as spans of the text. Pure functions.

A passage is a run of whole blocks (paragraphs, lists, code) up to a size. Only a block that is longer than that is cut,
after a sentence or a line; only there do two passages share text. Sizes are in what a `Ruler` counts, such as tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

_PARAGRAPH = re.compile(r"(?:^[^\S\n]*\S.*(?:\n|\Z))+", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(`{3,}+|~{3,}+).*\n(?:(?! {0,3}\1)(?:.+(?:\n|\Z)|\n))*+(?: {0,3}\1.*\n?)?+", re.MULTILINE)
_CODE_INDENTS = ("   ", "\t")
# A sentence ends at its full stop (Indic, Urdu, Arabic, Armenian, Ethiopic, Burmese and Khmer ones too) unless the text
# goes on in lower case ("e.g. this"); Chinese and Japanese put no space after theirs. A list item or table row ends
# like a sentence.
_SENTENCE = re.compile(
    r"(?<=[.!?…।॥۔؟։።။។])[\"'”’)\]]*+\s++(?![a-z])|[。！？｡]+[”’」』）]*\s*|\n(?=[^\S\n]*(?:[-*+•|]|\d{1,3}[.)])\s?)"
)
_WORD = re.compile(r"\s+")
_LINE = re.compile(r"\n+")
_EMPTY_LINE = re.compile(r"\n(?:[^\S\n]*+\n)++")


class TextSpan(NamedTuple):
    """A part of a text: text[start:end]."""

    start: int
    end: int


class TextBlock(NamedTuple):
    """A part of a text that is kept whole where it fits: a paragraph, a list, a piece of code."""

    start: int
    end: int
    code: bool


@dataclass(frozen=True, slots=True)
class Ruler:
    """Measures parts of a text in units, such as tokens. Units follow each other, with or without gaps between."""

    starts: NDArray[np.int64]
    """(units,): where each begins in the text."""
    ends: NDArray[np.int64]
    """(units,): where each ends."""

    @classmethod
    def of_characters(cls, text: str) -> Self:
        """Return a ruler whose units are characters."""
        return cls(np.arange(len(text)), np.arange(1, len(text) + 1))

    def count(self, start: int, end: int) -> int:
        """Return how many units lie, wholly or in part, between two places."""
        return max(0, int(self.starts.searchsorted(end)) - int(self.ends.searchsorted(start, "right")))

    def after(self, start: int, units: int, end: int) -> int:
        """Return the place so many units after `start`, at most `end`."""
        index = int(self.ends.searchsorted(start, "right")) + units
        return min(int(self.starts[index]), end) if index < len(self.starts) else end

    def before(self, end: int, units: int) -> int:
        """Return the place so many units before `end`."""
        index = int(self.starts.searchsorted(end)) - units
        return int(self.starts[max(0, index)]) if units > 0 else end


def split(text: str, size: int, overlap: int = 0, ruler: Ruler | None = None, *, code: bool = False) -> list[TextSpan]:
    r"""Return spans of at most `size` units, in order, that cover everything but white space.

    Args:
        text: What is cut.
        size: Units of a span, at most.
        overlap: Units that two parts of one cut paragraph share, at most; never more than a third of `size`.
        ruler: What the units are. None: characters.
        code: Whether all of it is code, which is cut between lines, before a function rather than in it.

    >>> text = "One paragraph. " * 4 + "\n\n" + "Another one. " * 4
    >>> [text[span.start : span.end][:15] for span in split(text, size=70)]
    ['One paragraph. ', 'Another one. An']
    >>> text = "The first sentence. The second one. The third of them. The last."
    >>> [text[span.start : span.end] for span in split(text, size=48, overlap=16)]
    ['The first sentence. The second one.', 'The second one. The third of them. The last.']
    """
    size = max(1, size)
    overlap = min(overlap, size // 3)  # less than half, so that each part brings something new
    ruler = Ruler.of_characters(text) if ruler is None else ruler
    found = code_blocks(text) if code else blocks(text)
    return pack([part for block in found for part in cut(text, block, size, overlap, ruler)], size, ruler)


def blocks(text: str) -> list[TextBlock]:
    r"""Return the paragraphs, and the pieces of code (between fences, or indented) as a block each.

    >>> text = "Do this:\n\n```\na = 1\n\nb = 2\n```\n\nDone."
    >>> [text[block.start : block.end] for block in blocks(text)]
    ['Do this:', '```\na = 1\n\nb = 2\n```', 'Done.']
    """
    parts: list[TextBlock] = []
    position = 0
    for fence in _FENCE.finditer(text):
        parts += _paragraphs(text, position, fence.start())
        parts.append(TextBlock(*_trim(text, fence.start(), fence.end()), code=True))
        position = fence.end()
    return parts + _paragraphs(text, position, len(text))


def code_blocks(text: str) -> list[TextBlock]:
    """Return the parts of code that begin at the margin after an empty line, such as functions."""
    parts: list[TextBlock] = []
    for match in _PARAGRAPH.finditer(text):
        part = TextBlock(*_trim(text, *match.span(), indented=True), code=True)
        if parts and match[0].startswith((" ", "\t")):
            parts[-1] = parts[-1]._replace(end=part.end)
        else:
            parts.append(part)
    return parts


def cut(text: str, block: TextBlock, size: int, overlap: int, ruler: Ruler) -> list[TextSpan]:
    """Return the block itself, or about equal parts of it where it is longer than `size`.

    Prose is cut after a sentence or list item, else between words, and its parts overlap; code after a line.
    """
    parts: list[TextSpan] = []
    shared = 0 if block.code else overlap
    position = block.start
    while (length := ruler.count(position, block.end)) > size:
        count = math.ceil((length - shared) / (size - shared))
        aim = math.ceil((length + (count - 1) * shared) / count)
        earliest, latest, best = (
            max(position + 1, ruler.after(position, units, block.end))  # a Korean syllable may be three tokens
            for units in (max(aim // 2, shared + 1), min(size, aim + aim // 4), aim)
        )
        end = _boundary(text, (_EMPTY_LINE, _LINE) if block.code else (_SENTENCE, _WORD), earliest, latest, best)
        parts.append(TextSpan(position, end))
        position = _resume(text, ruler.before(end, shared), end)
    parts.append(TextSpan(position, block.end))
    trimmed = [_trim(text, part.start, part.end, indented=block.code) for part in parts]
    return [part for part in trimmed if part.start < part.end]


def pack(parts: Sequence[TextSpan], size: int, ruler: Ruler) -> list[TextSpan]:
    """Join neighbours while they fit, into passages of about equal length rather than full ones and a short last one.

    >>> parts = [TextSpan(0, 40), TextSpan(42, 80), TextSpan(82, 120), TextSpan(122, 160)]
    >>> pack(parts, 130, Ruler.of_characters("x" * 160))
    [TextSpan(start=0, end=80), TextSpan(start=82, end=160)]
    """
    if not parts:
        return []
    length = ruler.count(parts[0].start, parts[-1].end)
    aim = length / math.ceil(length / size) if length else size
    packed = [parts[0]]
    last_length = ruler.count(*parts[0])
    for part in parts[1:]:
        last = packed[-1]
        joined_length = ruler.count(last.start, part.end)
        enough = last_length >= aim * 0.9 and joined_length > aim * 1.1
        if joined_length <= size and not enough:
            packed[-1] = TextSpan(last.start, part.end)
            last_length = joined_length
        else:
            packed.append(part)
            last_length = ruler.count(*part)
    return packed


def context(title: str, headings: Sequence[str], limit: int = 200) -> str:
    """Return a passage's first line: title and headings above it, without the outermost where it would be too long.

    >>> context("Guide", ("Install", "Windows"))
    'Guide > Install > Windows'
    >>> context("A guide to everything there is", ("Install", "Windows"), limit=24)
    '… > Install > Windows'
    """
    names = [name for name in (title, *headings) if name]
    line = " > ".join(names)
    while len(line) > limit and len(names) > 1:
        names = names[1:]
        line = " > ".join(["…", *names])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _paragraphs(text: str, start: int, end: int) -> list[TextBlock]:
    parts: list[TextBlock] = []
    for match in _PARAGRAPH.finditer(text, start, end):
        code = all(line.startswith(_CODE_INDENTS) for line in match[0].splitlines())
        if code and parts and parts[-1].code:  # a blank line does not end a piece of code
            parts[-1] = TextBlock(parts[-1].start, _trim(text, *match.span()).end, code=True)
        else:
            parts.append(TextBlock(*_trim(text, *match.span(), indented=code), code))
    return parts


def _boundary(text: str, gaps: Sequence[re.Pattern[str]], earliest: int, latest: int, aim: int) -> int:
    """Return where to cut: after the gap nearest to `aim`, of the first kind that ends between both bounds."""
    for gap in gaps:
        if ends := _ends(gap, text, earliest, latest):
            return min(ends, key=lambda end: abs(end - aim))
    return latest


def _resume(text: str, earliest: int, end: int) -> int:
    """Return where the next part begins: with this one's last sentences if they fit in between, else at a word."""
    for gap in (_SENTENCE, _WORD):
        if ends := _ends(gap, text, earliest, end - 1):
            return ends[0]
    return end


def _ends(gap: re.Pattern[str], text: str, earliest: int, latest: int) -> list[int]:
    """Return where gaps of a kind end, between both bounds. A gap may begin some characters before."""
    ends = [match.end() for match in gap.finditer(text, max(0, earliest - 8), latest + 1)]
    return [end for end in ends if earliest <= end <= latest]


def _trim(text: str, start: int, end: int, *, indented: bool = False) -> TextSpan:
    """Return the span without white space around it; `indented` keeps the indentation of its first line."""
    first = start
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return TextSpan(max(first, text.rfind("\n", 0, start) + 1) if indented and start < end else start, end)
