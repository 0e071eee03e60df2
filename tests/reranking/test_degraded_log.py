"""Degraded rankings are logged at WARNING, once per reason and minute, whatever the numbers in it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from resift import Reranker, Scale
from resift.reranking import observers


class Broken:
    """Fails with another number in each message."""

    name, scale = "broken", Scale.PROBABILITY
    calls = 0

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        self.calls += 1
        raise RuntimeError(f"request {self.calls}: {query}")


def test_a_reason_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    logged_at: dict[str, float] = {}
    monkeypatch.setattr(observers, "_LOGGED", logged_at)
    reranker = Reranker(Broken(), on_error="keep_order")

    def logged() -> int:
        return sum(record.levelno == logging.WARNING for record in caplog.records)

    for _ in range(3):
        assert reranker.rank("down", ["a"]).degraded
    assert logged() == 1
    assert "degraded ranking by broken: first-stage order kept" in caplog.text
    reranker.rank("another reason", ["a"])
    assert logged() == 2
    for key in logged_at:
        logged_at[key] -= observers.QUIET_SECONDS  # as if they were older
    reranker.rank("down", ["a"])
    assert logged() == 3
    for length in range(1, 2 * observers.REASONS_KNOWN):
        reranker.rank("a" * length, ["a"])
        assert len(logged_at) <= observers.REASONS_KNOWN
