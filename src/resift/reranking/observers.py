"""Who looks on while texts are ranked: a tracer, if one was asked for; and the log, for rankings that are degraded."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from resift.reranking.call import RankCall
from resift.reranking.limits import Limits
from resift.reranking.ranking import Ranking
from resift.scorer import Scorer

logger = logging.getLogger(__name__)

Report = Callable[[Sequence[Ranking[Any]]], None]
"""Takes the rankings of the calls, in their order."""
Observer = Callable[[Scorer, Sequence[RankCall[Any]], Limits], AbstractContextManager[Report]]
"""Is entered before the calls are scored and left after they are ranked, or with the error that they ended with."""

OBSERVERS: list[Observer] = []
QUIET_SECONDS = 60.0  # between two log records of the same reason
REASONS_KNOWN = 100  # at most, so that reasons that are all different take no memory for ever
_NUMBER = re.compile(r"\d[\d.,]*")
_LOCK = threading.Lock()
_LOGGED: dict[str, float] = {}


@contextmanager
def observed(scorer: Scorer, calls: Sequence[RankCall[Any]], limits: Limits) -> Iterator[Report]:
    """Give what takes the rankings, once they are there; observers see everything in between."""
    with ExitStack() as stack:
        reports = [stack.enter_context(observer(scorer, calls, limits)) for observer in list(OBSERVERS)]

        def report(rankings: Sequence[Ranking[Any]]) -> None:
            for each in reports:
                each(rankings)
            for ranking in rankings:
                if ranking.degraded:
                    _log_degraded(ranking.degraded, scorer.name)

        yield report


def _log_degraded(reason: str, model: str) -> None:
    """Log why a ranking is degraded, once per reason and minute, whatever the numbers in it."""
    key = f"{model} {_NUMBER.sub('N', reason)}"
    now = time.monotonic()
    with _LOCK:
        if now - _LOGGED.get(key, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        if len(_LOGGED) >= REASONS_KNOWN:
            _LOGGED.clear()
        _LOGGED[key] = now
    logger.warning("degraded ranking by %s: %s", model, reason)
