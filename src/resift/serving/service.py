"""One model that many callers share: what waits is scored together, and what would wait too long is turned away."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resift._util.arguments import check_query
from resift.errors import InputError, OverloadedError
from resift.scorer import Request, Scorer, Scores, check_scores
from resift.scoring.queue import CHARACTERS_PER_TOKEN, ScorerQueue
from resift.serving.limits import BATCH_TOKENS, WAITING_TOKENS


class BusyError(OverloadedError):
    """More tokens wait than may wait. `retry_after` is in seconds, estimated from the speed of the last rounds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class RerankService:
    """Scores requests of many callers in shared rounds of about `batch_tokens` tokens, one round at a time.

    While a round runs, requests gather for the next, so rounds grow with the load and nobody waits for a timer. They
    are served in the order in which they would end with equal shares, so small ones don't wait for all of a large one.

    Args:
        scorer: What scores; its scale must have a relevance, which callers expect as 0 to 1.
        batch_tokens: About how many tokens are scored together; up to twice as many of requests of similar size.
        waiting_tokens: About how many tokens may wait, besides the round that runs.

    Raises:
        InputError: A scorer whose scale has no relevance.
    """

    def __init__(
        self, scorer: Scorer, *, batch_tokens: int = BATCH_TOKENS, waiting_tokens: int = WAITING_TOKENS
    ) -> None:
        if not scorer.scale.has_relevance:
            raise InputError(
                f"{scorer.name} scores on the {scorer.scale} scale, and this service's callers expect 0 to 1"
            )
        self.scorer = scorer
        self.batch_tokens = batch_tokens
        self.waiting_tokens = waiting_tokens
        self.queue = ScorerQueue(scorer, round_tokens=batch_tokens)
        self.max_length = self.queue.traits.max_length

    async def score(self, query: str, documents: Sequence[str]) -> Scores:
        """Return one score per document, in their order.

        Raises InputError (an empty query, or one too long for the model), ScorerError, and BusyError where too much
        waits already. A caller who is cancelled while waiting costs nothing.
        """
        check_query(query)
        unique = list(dict.fromkeys(documents))
        request = Request(query, unique)
        self._refuse_overload(request)
        call = self.queue.submit([request])
        await call.wait_async()
        (scores,) = call.answers()
        slots = {text: slot for slot, text in enumerate(unique)}
        return check_scores(self.scorer, scores, [slots[text] for text in documents])

    def _refuse_overload(self, request: Request) -> None:
        waiting = self.queue.waiting_tokens
        tokens = int(self.queue.pending(request).waiting_cost) // CHARACTERS_PER_TOKEN
        if waiting and waiting + tokens > self.waiting_tokens:
            seconds = waiting * CHARACTERS_PER_TOKEN * self.queue.seconds_per_character
            raise BusyError(
                f"about {waiting} tokens are waiting already, and {self.waiting_tokens} are the most",
                math.ceil(max(1.0, seconds)),
            )
