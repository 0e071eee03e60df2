"""Scores, documents and scorers for tests that combine several scorers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from resift import Scale
from resift.testing import ScriptedScorer

SCORES = st.lists(st.floats(-30, 30) | st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=25)
WEIGHTS = st.floats(0.01, 0.99)


def numbered_documents(count: int) -> list[str]:
    """Return so many documents, each different."""
    return [f"document {index}" for index in range(count)]


def unreachable(name: str = "service", error: Exception | None = None) -> ScriptedScorer:
    """Return a scorer that fails with `error`, by default as a service does that can't be reached."""
    return ScriptedScorer(OSError("no route to host") if error is None else error, name=name)


class AwaitableScorer:
    """A scorer for event loops alone. It answers after a moment, counts its calls and notes when one is cancelled."""

    def __init__(self, answer: Any, name: str = "service", scale: Scale = Scale.PROBABILITY) -> None:
        self.answer, self.name, self.scale, self.calls, self.cancelled = answer, name, scale, 0, False

    def score(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        raise AssertionError("an event loop was blocked")

    async def ascore(self, query: str, documents: Sequence[str]) -> Sequence[float]:
        self.calls += 1
        try:
            await asyncio.sleep(0.01 if isinstance(self.answer, Exception) else 0.05)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return list(self.answer)
