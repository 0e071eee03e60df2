r"""The sentences of a text, with their places, and which of them are headings.

Where a sentence ends is decided by sentencex (Wikimedia; some 240 languages), by the rules of the language that
the text seems to be in (`resift.text.sentence_rules`). Beside it, the marks of written structure divide: an empty line,
and the beginning of a heading, a list item or a table row. Text without an end of a sentence is divided at line ends
or at spaces, so that no sentence is longer than `LONGEST` characters.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import sentencex

from resift.text.half_pairs import HALF
from resift.text.sentence_rules import rules_for

LONGEST = 500
"""Characters of a sentence, at most."""
CLAUSES = 60
"""Characters of clauses at least, where a script has no sign for the end of a sentence."""
WINDOW = 5000
"""Characters that sentencex is given at once where no white space divides them: its time grows with their square."""
LONGEST_TITLE = 100
"""Characters of a line that may be a heading though no mark says so."""
TITLE, LEAD, TABLE_HEAD = 7, 8, 9
"""Levels of headings below Markdown's: a short line alone, the line above a list, the first rows of a table."""

_HALF = re.compile(f"[{HALF}]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_STRUCTURE = re.compile(
    r"\n[^\S\n]*\n\s*"  # an empty line
    r"|\n(?=[^\S\n]*(?:#{1,6}\s|[-*+•]\s|\d{1,3}[.)]\s|\|))"  # a heading, an item or a row begins
    r"|(?<=\n)[^\S\n]*(?:#{1,6}\s|\|)[^\n]*\n"  # and ends with its line
)
_FIRST_LINE = re.compile(r"[^\S\n]*(?:#{1,6}\s|\|)[^\n]*\n")
_MARKER = re.compile(r"(?:\d{1,3}[.)]|[-*+•])")  # of a list item
_HEADING = re.compile(r"(#{1,6})\s")
_FENCE = re.compile(r"^[^\S\n]*(`{3,}+|~{3,}+)([^\n]*)$", re.MULTILINE)  # of a code block
_RULE = re.compile(r"\|[\s:|-]+\|?")  # below the first row of a table
_TITLE_END = re.compile(r"[^.!?…:;,。．！？｡：；،؛؟۔।॥]\Z")
_BREAK = re.compile(r"\s+(?=\S*\Z)")
# Khmer's full stops, which sentencex doesn't know, and titles that it takes for the end of a sentence.
_OTHER_END = re.compile(r"[។៕]\s*")
_NO_END = re.compile(r"(?<!\w)(?:[\u0621-\u064a]|डॉ|श्री|प्रो|रु)\.\s*\Z")
_SPACE_OF_CLAUSES = re.compile(r"(?<=[\u0e00-\u0eff])\s+(?=[\u0e00-\u0eff])")
_LONGEST_TITLE_SEEN = 10  # characters, with what stands before it and the spaces behind it


class Sentence(NamedTuple):
    """A sentence of a text: text[start:end], without the white space around it."""

    start: int
    end: int
    level: int = 0
    """0, or the level of a heading: 1 to 6 as in Markdown, then `TITLE`, `LEAD` and `TABLE_HEAD`."""


def find_sentences(text: str, start: int = 0, end: int | None = None) -> list[Sentence]:
    r"""Return the sentences of text[start:end] that have something in them, in order.

    Together they have every character but white space.

    >>> text = "# Snakes\nSnakes shed. Pythons, e.g. this one, don't bite!"
    >>> [(text[sentence.start : sentence.end], sentence.level) for sentence in find_sentences(text)]
    [('# Snakes', 1), ('Snakes shed.', 0), ("Pythons, e.g. this one, don't bite!", 0)]
    """
    stop = len(text) if end is None else min(end, len(text))
    part = text[start:stop]
    places = [place for first, last in _pieces(part) for place in _divided(part, first, last)]
    levels = _levels(part, places)
    return [Sentence(start + first, start + last, level) for (first, last), level in zip(places, levels, strict=True)]


def headings_above(text: str, sentences: Sequence[Sentence]) -> list[tuple[int, ...]]:
    r"""Return for each sentence the indices of the headings that it stands under, (sentences,).

    The line above a list ends with the list, a table's head with the table.

    >>> text = "# Snakes\nThey shed.\n# Eels\nThey don't."
    >>> headings_above(text, find_sentences(text))
    [(), (0,), (), (2,)]
    """
    above: list[tuple[int, ...]] = []
    open_headings: list[int] = []
    for index, (start, end, level) in enumerate(sentences):
        line = text[start:end]
        if level == 0:  # a sentence ends no heading, but the head of another thing
            is_inside = {LEAD: _starts_item(line), TABLE_HEAD: line.startswith("|")}
            open_headings = [place for place in open_headings if is_inside.get(sentences[place].level, True)]
        elif not (level == TABLE_HEAD and open_headings[-1:] == [index - 1]):  # the rule below the first row
            open_headings = [place for place in open_headings if sentences[place].level < level]
        above.append(tuple(open_headings))
        if level:
            open_headings.append(index)
    return above


def _pieces(text: str) -> list[tuple[int, int]]:
    """Return where sentences begin and end, without the white space around them."""
    if not text:
        return []
    readable = _HALF.sub("\ufffd", text)  # one for one, so that places stay
    structure = {match.end() for match in _STRUCTURE.finditer(readable)}
    structure |= {match.start() for match in _STRUCTURE.finditer(readable) if readable[match.start()] != "\n"}
    if first_line := _FIRST_LINE.match(readable):
        structure.add(first_line.end())
    ends = _sentence_ends(readable)
    pieces: list[tuple[int, int]] = []
    for first, last in pairwise(sorted({0, len(text), *structure, *ends})):
        stripped = text[first:last].strip()
        if not stripped:
            continue
        begin = first + text[first:last].index(stripped)
        # "1." before an item is no sentence.
        if pieces and first not in structure and _MARKER.fullmatch(text[slice(*pieces[-1])]):
            begin = pieces.pop()[0]
        pieces.append((begin, first + len(text[first:last].rstrip())))
    return pieces


def _sentence_ends(text: str) -> set[int]:
    """Return where sentences end, by the rules of the languages that the text may be in."""
    ends = set.intersection(*(set(_ends(language, text)) for language in rules_for(text)))
    if text.isascii():
        return ends
    ends |= {match.end() for match in _OTHER_END.finditer(text)}
    ends = {end for end in ends if not _NO_END.search(text[max(0, end - _LONGEST_TITLE_SEEN) : end])}
    return ends.union(_clauses(text, sorted(ends)))


def _clauses(text: str, ends: Sequence[int]) -> Iterator[int]:
    """Yield where clauses of Thai and Lao end: they mark no end of a sentence, and put spaces between clauses only."""
    last = 0
    for space in _SPACE_OF_CLAUSES.finditer(text):
        before = bisect_right(ends, space.start())
        last = max(last, ends[before - 1] if before else 0)
        if space.start() - last >= CLAUSES:
            last = space.end()
            yield last


def _ends(language: str, text: str) -> Iterator[int]:
    """Yield where sentencex ends a sentence; of a long run without white space, as Chinese has, window by window."""
    is_long = len(text) > WINDOW and not text.isascii() and max(map(len, text.split()), default=0) > WINDOW
    start, size = 0, WINDOW if is_long else len(text)
    while True:
        bounds = sentencex.get_sentence_boundaries(language, text[start : start + size])
        ends = [start + bound["end_index"] for bound in bounds]
        if start + size >= len(text):
            yield from ends
            return
        if len(ends) < 2:  # the last one is cut by the window
            size *= 2
            continue
        yield from ends[:-1]
        start, size = ends[-2], WINDOW


def _divided(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield a sentence, in parts if it is too long."""
    while last - first > LONGEST:
        window = text[first : first + LONGEST + 1]
        line = window.rfind("\n")
        found = line if line > LONGEST // 4 else None
        if found is None and (space := _BREAK.search(window)) is not None and space.start() > 0:
            found = space.start()
        cut = first + (found if found is not None and found > 0 else LONGEST)
        cut -= _PAIR.match(text, cut - 1) is not None  # both halves of a pair are one character
        part = text[first:cut]
        yield first, first + len(part.rstrip())
        while cut < last and text[cut].isspace():
            cut += 1
        first = cut
    if first < last:
        yield first, last


def _code_blocks(text: str) -> list[tuple[int, int]]:
    """Return the places of fenced code; a fence that nothing closes begins none: a passage may be cut in a block."""
    blocks: list[tuple[int, int]] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is not None and fence[1].startswith(opening[1]) and not fence[2].strip():
            blocks.append((opening.start(), fence.end()))
            opening = None
        elif opening is None or fence[2].strip():  # with a language it begins one
            opening = fence
    return blocks


def _levels(text: str, places: list[tuple[int, int]]) -> list[int]:
    levels = [0] * len(places)
    blocks = _code_blocks(text)
    starts = [start for start, _ in blocks]
    in_code = [bool(found := bisect_right(starts, first)) and first < blocks[found - 1][1] for first, _ in places]
    for index, (first, last) in enumerate(places):
        if in_code[index]:  # a comment is no heading
            continue
        sentence = text[first:last]
        if heading := _HEADING.match(sentence):
            levels[index] = len(heading[1])
        elif sentence.startswith("|"):
            following = text[slice(*places[index + 1])] if index + 1 < len(places) else ""
            head = _RULE.fullmatch(sentence) or _RULE.fullmatch(following)
            levels[index] = TABLE_HEAD if head else 0
    titles = [not in_code[index] and _is_title_line(text, places, index) for index in range(len(places))]
    for index, (place, next_place) in enumerate(pairwise(places)):
        line, below = text[slice(*place)], text[slice(*next_place)]
        if levels[index] or levels[index + 1]:  # above another heading it may be all there is
            continue
        if titles[index] and not titles[index + 1]:  # a row of short lines is a list
            levels[index] = TITLE
        elif line.endswith((":", "：")) and _starts_item(below) and not _starts_item(line):
            levels[index] = LEAD
    return levels


def _is_title_line(text: str, places: Sequence[tuple[int, int]], index: int) -> bool:
    """Return whether a sentence is a short line alone, with an empty line below it and no full stop."""
    first, last = places[index]
    before = text[places[index - 1][1] : first] if index else "\n"
    after = text[last : places[index + 1][0]] if index + 1 < len(places) else "\n\n"
    line = text[first:last]
    alone = "\n" in before and after.count("\n") > 1 and "\n" not in line and last - first <= LONGEST_TITLE
    own = line[0] != "|" and not _starts_item(line)
    return alone and own and _TITLE_END.search(line) is not None and any(map(str.isalpha, line))


def _starts_item(line: str) -> bool:
    marker = _MARKER.match(line)
    return marker is not None and line[marker.end() : marker.end() + 1].isspace()
