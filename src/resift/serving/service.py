"""One model that many callers share: what waits is scored together, and what would wait too long is turned away."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from resift._util.worker import Worker
from resift.errors import InputError, OverloadedError
from resift.scorer import Request, Scorer, Scores, check_scores, score_many

CHARACTERS_PER_TOKEN = 4  # of English text; an estimate is enough to share out a batch, the engine counts exactly


class BusyError(OverloadedError):
    """More waits than the service was told to hold; `retry_after` is in seconds, from the speed of late."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(slots=True)
class _Waiting:
    request: Request
    tokens: int
    answer: asyncio.Future[Scores]


class RerankService:
    """Scores requests of many callers in shared batches of about `batch_tokens` tokens, one batch at a time.

    While a batch runs, requests gather for the next, so batches grow with the load and nobody waits for a timer.
    A request larger than a batch goes alone. At most `waiting_tokens` are held, besides the batch that runs.
    """

    def __init__(self, scorer: Scorer, *, batch_tokens: int, waiting_tokens: int) -> None:
        if not scorer.scale.has_relevance:
            raise InputError(
                f"{scorer.name} scores on the {scorer.scale} scale, and this service's callers expect 0 to 1"
            )
        self.scorer = scorer
        self.batch_tokens = batch_tokens
        self.waiting_tokens = waiting_tokens
        self.max_length = int(getattr(scorer, "max_length", 0)) or None
        self._worker = Worker(1)
        self._waiting: deque[_Waiting] = deque()
        self.held = 0
        """Tokens that wait, by the estimate."""
        self._seconds_per_token = 1e-4
        self._running: asyncio.Task[None] | None = None

    async def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One score per document, in their order.

        Raises InputError (an empty query, or one too long for the model), ScorerError, and BusyError where too much
        waits already. A caller who is cancelled while waiting costs nothing.
        """
        if not query.strip():
            raise InputError("the query must be a text with something in it")
        unique = list(dict.fromkeys(documents))
        tokens = self.estimate(query, unique)
        if self._waiting and self.held + tokens > self.waiting_tokens:
            wait = math.ceil(max(1.0, self.held * self._seconds_per_token))
            raise BusyError(
                f"about {self.held} tokens are waiting already, and {self.waiting_tokens} are the most", wait
            )
        entry = _Waiting(Request(query, unique), tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self.held += tokens
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        scores = await entry.answer
        slots = {text: slot for slot, text in enumerate(unique)}
        return check_scores(self.scorer, scores, [slots[text] for text in documents])

    def estimate(self, query: str, documents: Sequence[str]) -> int:
        """About how many tokens the network will read."""
        beside = len(query) // CHARACTERS_PER_TOKEN + 1
        most = self.max_length or 10**9
        return sum(min(most, beside + len(text) // CHARACTERS_PER_TOKEN + 1) for text in documents)

    async def _run(self) -> None:
        while batch := self._next():
            started = time.perf_counter()
            await self._serve(batch)
            spent = (time.perf_counter() - started) / max(1, sum(entry.tokens for entry in batch))
            self._seconds_per_token = 0.8 * self._seconds_per_token + 0.2 * spent

    def _next(self) -> list[_Waiting]:
        """The longest waiting, as many as fit; those whose callers have gone are dropped."""
        batch: list[_Waiting] = []
        room = self.batch_tokens
        while self._waiting and (not batch or self._waiting[0].tokens <= room):
            entry = self._waiting.popleft()
            self.held -= entry.tokens
            if not entry.answer.done():
                batch.append(entry)
                room -= entry.tokens
        return batch

    async def _serve(self, batch: Sequence[_Waiting]) -> None:
        """Answers every entry. What goes wrong with one of several is found by scoring each alone."""
        try:
            answers = await self._worker.run(partial(score_many, self.scorer, [entry.request for entry in batch]))
        except Exception as error:  # whatever it is, the callers must hear of it, or they wait forever
            if len(batch) > 1:
                for entry in batch:
                    await self._serve([entry])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for entry, answer in zip(batch, answers, strict=True):
            if not entry.answer.done():
                entry.answer.set_result(answer if isinstance(answer, Scores) else Scores(tuple(answer)))
