"""Files made to be slow: what reads them takes time in proportion to their length, whatever they hold."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Callable

import pytest

import resift.documents
from resift.documents import read
from resift.documents.passages import passages

GROWTH = 16
ALLOWED = 5  # times as long as in proportion: a square would be 16 times as long
UNNOTICED = 0.2  # seconds: less is noise

UNITS = (
    " ", "\t", "\n", " \n", "#", "# ", "[", "]", "![", "[a](", "[a", "(", "{#", "{", "}", "{# ", "`", "```\n", "~",
    "``` `\n", "> ", "> ```\na\n", "- ", "- ```\na\n", "1. a\n", "* * ", "_", "=", "-", "---\n", "a\n===\n", "a\n-\n",
    ".", "。", ". ", ".)", "…'", "\n-", "|", "<", "<a ", "<!-- ", "<div>\n", "[a]: b\n", "[a]: ", "a", "é", "a\n",
    "    a\n", "\\", "*a", "**", "title:", "...\n", ">",
)  # fmt: skip
ENDS = (("", ""), ("# ", "x"), ("---\n", "x"), ("", "\nx\n---\n"), ("title: ", "\nx"))


def patterns() -> dict[str, re.Pattern[str]]:
    found = {}
    for module in pkgutil.iter_modules(resift.documents.__path__, "resift.documents."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern):
                found[f"{module.name.removeprefix('resift.documents.')}.{name}"] = value
    return found


PATTERNS = patterns()


def seconds(call: Callable[[str], object], text: str) -> float:
    """Of this thread alone, whatever else the machine does."""
    started = time.thread_time()
    call(text)
    return time.thread_time() - started


def check(call: Callable[[str], object], before: str, unit: str, after: str, length: int) -> None:
    """The time for a text that is 16 times as long. Measured again before it fails: memory may be slow once."""
    short, long = (before + unit * (count // len(unit)) + after for count in (length, length * GROWTH))
    for _ in range(3):
        spent = seconds(call, long)
        if spent < UNNOTICED or spent < ALLOWED * GROWTH * seconds(call, short):
            return
    raise AssertionError(f"{spent:.2f} s for {len(long)} characters: {long[:40]!r}...")


def test_the_patterns_are_found() -> None:
    assert len(PATTERNS) >= 10
    assert {"markdown._LINK", "plain._RULE", "split._SENTENCE", "split._FENCE"} <= set(PATTERNS)


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_takes_more_than_time_in_proportion(name: str) -> None:
    pattern = PATTERNS[name]

    def search_and_match(text: str) -> None:
        pattern.match(text)
        for _ in pattern.finditer(text):
            pass

    for unit in UNITS:
        for before, after in ENDS:
            check(search_and_match, before, unit, after, 2000)


@pytest.mark.parametrize("suffix", [".md", ".rst", ".txt"])
def test_no_file_takes_more_than_time_in_proportion(suffix: str) -> None:
    def read_file(text: str) -> None:
        passages(read(text.encode(), f"a{suffix}"), f"a{suffix}", "hash")

    for unit in UNITS:
        for before, after in ENDS[:2]:
            check(read_file, before, unit, after, 500)  # what is not a pattern's takes 50 ns and more a step


def test_a_heading_of_many_blanks_is_read_at_once() -> None:
    """It took 27 s: two runs of blanks of one pattern could divide these among them in any way."""
    assert seconds(lambda text: read(text.encode(), "a.md"), "# a" + " " * 20_000 + "b") < 2
