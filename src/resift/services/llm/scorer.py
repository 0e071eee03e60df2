"""The scorer: which prompts a list needs, asked one after another or side by side, and what their answers are worth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Literal, NamedTuple

from resift._util.worker import Worker
from resift.errors import InputError, ScorerError
from resift.scorer import Scale, Scores, Span, Usage
from resift.services.llm.answers import Verdict, read_grade, read_order, read_yes_no
from resift.services.llm.chat import Answer, Chat
from resift.services.llm.prompts import GRADE_TASK, YES_NO_TASK, Prompt, judging_prompt, ranking_prompt
from resift.services.llm.windows import check_windows, windows

Method = Literal["listwise", "pointwise", "yes_no"]
OnBadAnswer = Literal["repair", "raise"]

WAITING = 1024  # async calls that may wait for an LLM without an async method


class Judgement(NamedTuple):
    """A way of judging each document by itself: what is asked, and how the answer is read."""

    task: str
    read: Callable[[str], Verdict]


JUDGEMENTS = {"pointwise": Judgement(GRADE_TASK, read_grade), "yes_no": Judgement(YES_NO_TASK, read_yes_no)}
METHODS = ("listwise", *JUDGEMENTS)


class LlmScorer:
    """Scores with a large language model.

    `llm`: a LangChain chat model or chain, a LlamaIndex LLM, or a function, sync or async, that takes a `Prompt`
    (a str, whose `messages` has it in the form of chat models) and returns a text or an `Answer`.

    `method`: `listwise` has the LLM order windows of `window` documents, each `stride` nearer to the front than
    the one before (RankGPT; the score is n for the first of n documents, 1 for the last); `pointwise` has it grade
    each document from 0 to 10, `yes_no` ask whether it answers the query (1 or 0). Documents with the same grade
    keep their first-stage order.

    `on_bad_answer`: what becomes of an answer that is no permutation, no grade, no verdict. `repair`: missing
    documents follow in the order they had, repeats are dropped, a document without a grade gets -1; `degraded`
    says so. `raise`: ScorerError.

    Only the first `max_characters` of a document are shown. `parallel` calls of `pointwise` and `yes_no` run side
    by side; say 1 for an LLM that can't be entered twice. Tokens are what the LLM reports, read and written.

    >>> scorer = LlmScorer(lambda prompt: "[2] > [1]")
    >>> scorer.score("what eats bamboo?", ["Stocks fell.", "Pandas eat bamboo."]).values
    (1.0, 2.0)
    """

    def __init__(
        self,
        llm: Any,
        *,
        method: Method = "listwise",
        window: int = 20,
        stride: int = 10,
        on_bad_answer: OnBadAnswer = "repair",
        max_characters: int = 2000,
        parallel: int = 8,
    ) -> None:
        if method not in METHODS:
            raise InputError(f"method is one of {', '.join(METHODS)}, not {method!r}")
        if on_bad_answer not in ("repair", "raise"):
            raise InputError(f"on_bad_answer is 'repair' or 'raise', not {on_bad_answer!r}")
        if max_characters < 1 or parallel < 1:
            raise InputError(f"max_characters and parallel must be at least 1, got {max_characters} and {parallel}")
        check_windows(window, stride)
        self.method = method
        self.window, self.stride = window, stride
        self.on_bad_answer = on_bad_answer
        self.max_characters = max_characters
        self.parallel = parallel
        self._chat = Chat.of(llm)
        self._worker = Worker(WAITING)

    @property
    def name(self) -> str:
        """The LLM's own name, and the method: the same model gives other numbers by another one."""
        return f"{self._chat.name} ({self.method})"

    @property
    def scale(self) -> Scale:
        """Places in a list for `listwise`; else grades, comparable from query to query but no probabilities."""
        return Scale.ORDINAL if self.method == "listwise" else Scale.SIMILARITY

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One number per document, in their order. Raises ScorerError on an answer that can't be used."""
        if not self._chat.synchronous:
            raise InputError(f"{self._chat.name} can only be awaited: use arank, or give an LLM with a sync method")
        started = time.perf_counter()
        work = self._work(query, documents)
        step = _advance(work, None)
        while not isinstance(step, Scores):
            step = _advance(work, self._ask(step))
        return _timed(step, started)

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """`score`, awaited where the LLM has an async method, else in a thread of the scorer's own."""
        if not self._chat.asynchronous:
            return await self._worker.run(partial(self.score, query, documents))
        started = time.perf_counter()
        work = self._work(query, documents)
        step = _advance(work, None)
        while not isinstance(step, Scores):
            step = _advance(work, await self._aask(step))
        return _timed(step, started)

    def _work(self, query: str, documents: Sequence[str]) -> Work:
        shown = [_shown(document, self.max_characters) for document in documents]
        spans = {
            place: Span(0, self.max_characters, truncated=True)
            for place, document in enumerate(documents)
            if len(document) > self.max_characters
        }
        ledger = _Ledger(self.name, self.on_bad_answer)
        if self.method == "listwise":
            values = yield from _listwise(query, shown, ledger, list(windows(len(shown), self.window, self.stride)))
        else:
            values = yield from _each(query, shown, ledger, JUDGEMENTS[self.method])
        return Scores(tuple(values), ledger.usage, spans, ledger.degraded)

    def _ask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        if len(prompts) < 2 or self.parallel == 1:
            return [self._chat.ask(prompt) for prompt in prompts]
        with ThreadPoolExecutor(min(self.parallel, len(prompts)), thread_name_prefix="resift-llm") as pool:
            # Each call in its own copy of the caller's context, so that tracing finds its parent.
            calls = [pool.submit(copy_context().run, self._chat.ask, prompt) for prompt in prompts]
            try:
                return [call.result() for call in calls]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    async def _aask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        turn = asyncio.Semaphore(self.parallel)

        async def one(prompt: Prompt) -> Answer:
            async with turn:
                return await self._chat.aask(prompt)

        try:
            async with asyncio.TaskGroup() as group:  # the first failure, or being cancelled, cancels the rest
                calls = [group.create_task(one(prompt)) for prompt in prompts]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # callers catch what the LLM raised, as in `_ask`
        return [call.result() for call in calls]


Work = Generator[list[Prompt], list[Answer], Scores]
"""Yields prompts that may be asked side by side, is sent their answers, returns the scores. Asks nobody itself."""


class _Ledger:
    """What one list has cost so far, and which answers were no good."""

    def __init__(self, scorer: str, on_bad_answer: OnBadAnswer) -> None:
        self.scorer = scorer
        self.on_bad_answer = on_bad_answer
        self.usage = Usage()
        self.complaints: list[str] = []

    def enter(self, answer: Answer, pairs: int, complaint: str | None) -> None:
        """Counts a call that `pairs` documents were read for. Raises ScorerError if it is bad and may not be."""
        self.usage += Usage(pairs=pairs, tokens=answer.tokens, calls=1)
        if complaint is None:
            return
        if self.on_bad_answer == "raise":
            raise ScorerError(f"{self.scorer}: {complaint}; the LLM answered {answer.text[:200]!r}")
        self.complaints.append(complaint)

    @property
    def degraded(self) -> str | None:
        if not self.complaints:
            return None
        return f"{len(self.complaints)} of {self.usage.calls} answers were repaired: {self.complaints[0]}"


def _listwise(
    query: str, documents: Sequence[str], ledger: _Ledger, parts: Sequence[tuple[int, int]]
) -> Generator[list[Prompt], list[Answer], list[float]]:
    order = list(range(len(documents)))
    for start, stop in parts:
        part = order[start:stop]
        (answer,) = yield [ranking_prompt(query, [documents[place] for place in part])]
        places, complaint = read_order(answer.text, len(part))
        ledger.enter(answer, len(part), complaint)
        order[start:stop] = [part[place] for place in places]
    rank = {place: rank for rank, place in enumerate(order)}
    return [float(len(documents) - rank[place]) for place in range(len(documents))]


def _each(
    query: str, documents: Sequence[str], ledger: _Ledger, judgement: Judgement
) -> Generator[list[Prompt], list[Answer], list[float]]:
    answers = yield [judging_prompt(query, document, judgement.task) for document in documents]
    verdicts = [judgement.read(answer.text) for answer in answers]
    for answer, verdict in zip(answers, verdicts, strict=True):
        ledger.enter(answer, 1, verdict.complaint)
    return [verdict.score for verdict in verdicts]


def _advance(work: Work, answers: Any) -> list[Prompt] | Scores:
    """The next prompts, or the scores. Apart from asking, so that a StopIteration of the LLM ends nothing."""
    try:
        return work.send(answers)
    except StopIteration as end:
        scores: Scores = end.value
        return scores


def _timed(scores: Scores, started: float) -> Scores:
    usage = scores.usage + Usage(seconds={"llm": time.perf_counter() - started})
    return Scores(scores.values, usage, scores.spans, scores.degraded)


def _shown(document: str, limit: int) -> str:
    """The document's beginning. Half characters, which no request can carry, become question marks."""
    return document[:limit].encode("utf-8", "replace").decode("utf-8")
