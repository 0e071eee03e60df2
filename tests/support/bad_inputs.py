"""Random inputs that no caller should give, and some do: by a seed, so that a failure can be repeated."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resift import Scale


class MineError(Exception):
    """An error of a caller's own, which comes through as it is."""


class Odd:
    """An object that hardly does what objects do."""

    def __repr__(self) -> str:
        return "<odd>"

    def __bool__(self) -> bool:
        raise MineError("no truth")

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 7


def failing_iterable() -> Iterator[str]:
    yield "a text"
    raise MineError("while it is read")


TEXTS = [
    "", " ", "\n\t", "a", "bamboo", "a fox", "\0", "a\0b", "\ud800", "\udfff fox", "\ufeff", "\u202e fox", "🦊" * 50,
    "e\u0301" * 100, "[SEP] [CLS] [PAD] [MASK] [UNK]", "{}", "%s %d", "<b>fox</b>", "'; DROP TABLE x; --", "\u00ad",
    "word " * 3000, "x" * 20_000, "\u4e2d\u6587" * 300, "\r\n", "\x1b[31mred", "a" * 5000, "NaN", "-1", "../../etc",
    "~",
]  # fmt: skip
NUMBERS: list[Any] = [
    0, 1, 2, 3, -1, 10**9, 10**30, -(10**30), 0.0, 0.5, 1.0, 1.5, -0.1, 1e308, 1e-308, float("nan"), float("inf"),
    -float("inf"),
    True, False, "3", "", None, np.int64(2), np.float32(0.5), np.array(2), np.array([1, 2]), 2 + 0j, [1], (), b"1", {},
]  # fmt: skip


class BadInputs:
    """What one case is made of."""

    def __init__(self, seed: object) -> None:
        self.draw = random.Random(str(seed))

    def text(self) -> str:
        draw = self.draw
        if draw.random() < 0.15:
            return "".join(chr(draw.choice([draw.randrange(128), draw.randrange(0x110000)])) for _ in range(30))
        return draw.choice(TEXTS) + draw.choice(["", "", " fox", " bamboo"])

    def number(self) -> Any:
        return self.draw.choice(NUMBERS)

    def anything(self) -> Any:
        draw = self.draw
        kinds: Sequence[Callable[[], Any]] = [
            self.text, self.number, lambda: None, lambda: b"bytes", lambda: bytearray(b"a"), Odd, object, lambda: Odd,
            lambda: len, lambda: [self.text()], lambda: (self.text(), None), lambda: {self.text(): 1}, lambda: {1, 2},
            failing_iterable, lambda: iter([]), lambda: Path(self.text().replace("\0", "")), lambda: range(3),
            lambda: np.array(["a", "b"]), lambda: np.zeros((2, 2)), lambda: [[]], lambda: 10**5000, lambda: Ellipsis,
        ]  # fmt: skip
        return draw.choice(kinds)()

    def query(self) -> Any:
        return "red fox" if self.draw.random() < 0.6 else self.text() if self.draw.random() < 0.5 else self.anything()

    def documents(self) -> Any:
        draw = self.draw
        good = [self.text() for _ in range(draw.choice([0, 1, 2, 5, 12, 40]))]
        if draw.random() < 0.6:
            return good
        kinds: Sequence[Callable[[], Any]] = [
            self.anything, lambda: [*good, self.anything()], lambda: iter(good), lambda: tuple(good), lambda: set(good),
            lambda: dict.fromkeys(good), lambda: (text for text in good), lambda: np.array(good), failing_iterable,
            lambda: [None, *good], lambda: good * 20, lambda: map(str, good), lambda: [good],
        ]  # fmt: skip
        return draw.choice(kinds)()

    def limits(self) -> dict[str, Any]:
        """Return arguments of a call: mostly none, some good, some bad."""
        names = ["top_k", "min_relevance", "deadline"]
        chosen = {name: self.number() for name in names if self.draw.random() < 0.2}
        if self.draw.random() < 0.1:
            chosen["top_k"] = self.draw.choice([1, 2, 5])
        return chosen

    def scorer(self) -> Any:
        """Return a scorer of a user, which answers with anything."""
        return BadScorer(self)


class BadScorer:
    """A scorer whose answers are mostly of no use."""

    def __init__(self, bad: BadInputs) -> None:
        self._bad = bad
        draw = bad.draw
        self.name = "bad"
        self.scale = draw.choice(list(Scale))

    def score(self, query: str, documents: Sequence[str]) -> Any:
        bad, count = self._bad, len(documents)
        fitting: Sequence[Callable[[], Any]] = [
            lambda: [0.5] * count, lambda: [float("nan")] * count, lambda: [0.5] * (count + 1),
            lambda: [bad.number()] * count,
            lambda: (0.1 for _ in range(count)), lambda: np.full(count, 0.5, np.float16), lambda: np.zeros((count, 2)),
            lambda: np.arange(count), lambda: np.full((count, 1), 0.25), lambda: [None] * count, lambda: map(float,
            range(count)),
            lambda: [1e400] * count, lambda: [10**400] * count, lambda: [True] * count, lambda: ["0.5"] * count,
            lambda: dict.fromkeys(range(count), 0.5), bad.anything, failing_iterable, self._fail,
        ]  # fmt: skip
        return bad.draw.choice(fitting)()

    def _fail(self) -> Any:
        raise self._bad.draw.choice([
            ValueError("bad"), RuntimeError("bad"), KeyError("bad"), SystemExit(3), KeyboardInterrupt(),
            MemoryError(), MineError(),
            RecursionError("deep"), StopIteration(3), GeneratorExit(), AssertionError(), OSError(28,
            "No space left on device"),
        ])  # fmt: skip


def listed(documents: Any) -> list[Any] | None:
    """Return the documents as a list of the very same objects; None where they are made anew each time."""
    return list(documents) if isinstance(documents, list | tuple) else None
