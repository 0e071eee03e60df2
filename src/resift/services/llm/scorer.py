"""The scorer: which prompts a list of documents needs, and which scores follow from the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Literal, NamedTuple, Self

from resift._util.worker import Worker
from resift.errors import InputError, ScorerError
from resift.scorer import Scale, Scores, Span, Usage, check_instruction
from resift.services.llm.answers import ParsedGrade, read_grade, read_order, read_yes_no
from resift.services.llm.chat import Answer, Chat
from resift.services.llm.prompts import GRADE_TASK, YES_NO_TASK, Prompt, judging_prompt, ranking_prompt
from resift.services.llm.windows import check_windows, windows
from resift.text.half_pairs import replace_half_pairs

Method = Literal["listwise", "pointwise", "yes_no"]
OnBadAnswer = Literal["repair", "raise"]

MAX_PENDING_CALLS = 1024  # async calls that may wait for an LLM without an async method


class Judgement(NamedTuple):
    """A way to judge each document by itself."""

    task: str
    """The question in the prompt."""
    read: Callable[[str], ParsedGrade]
    """Gets the score out of the answer."""


JUDGEMENTS = {"pointwise": Judgement(GRADE_TASK, read_grade), "yes_no": Judgement(YES_NO_TASK, read_yes_no)}
METHODS = ("listwise", *JUDGEMENTS)


class LlmScorer:
    """Scores with a large language model.

    Tokens in `usage` are those that the LLM reports, read and written.

    Args:
        llm: A LangChain chat model or chain, a LlamaIndex LLM, or a function, sync or async, that takes a `Prompt`
            and returns a text or an `Answer`. A `Prompt` is a str; its `messages` are the same for chat models.
        method: `listwise`: the LLM orders windows of documents, from the list's end to its start (RankGPT); the score
            is n for the first of n documents and 1 for the last. `pointwise`: it grades each document from 0 to 10.
            `yes_no`: it says whether a document answers the query (1 or 0). Documents with equal grades keep their
            first-stage order.
        window: Documents in one prompt (`listwise`).
        stride: How many places each window is nearer to the front than the one before (`listwise`).
        on_bad_answer: What to do with an answer that is no permutation, no grade, no yes or no. `repair`: missing
            documents follow in the order they had, repeats are dropped, a document without a grade gets -1, and
            `degraded` says so. `raise`: ScorerError.
        max_characters: Only so many characters of a document are shown to the LLM, from its beginning.
        parallel: Calls that run at the same time, at most (`pointwise`, `yes_no`). Use 1 for an LLM that doesn't
            allow two calls at once.
        instruction: What makes a document relevant, in words; it stands in the system's part of every prompt.

    Raises:
        InputError: An object that is no LLM, or an option that makes no sense.

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
        instruction: str | None = None,
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
        self.instruction = None if instruction is None else replace_half_pairs(check_instruction(instruction))
        self._chat = Chat.of(llm)
        self._worker = Worker(MAX_PENDING_CALLS, "the LLM")

    @property
    def name(self) -> str:
        """The LLM's own name and the method, since the numbers depend on both."""
        return f"{self._chat.name} ({self.method})"

    @property
    def scale(self) -> Scale:
        """ORDINAL for `listwise`; else SIMILARITY: grades, comparable from query to query but no probabilities."""
        return Scale.ORDINAL if self.method == "listwise" else Scale.SIMILARITY

    def with_instruction(self, instruction: str) -> Self:
        """Return the same LLM and method with an instruction."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, instruction=replace_half_pairs(check_instruction(instruction)))
        return copy

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """Score the documents of one query.

        Args:
            query: The query.
            documents: Their texts.

        Returns:
            One score per document, in their order; `spans` marks the documents that were cut, and `degraded` says
            which answers were repaired.

        Raises:
            InputError: The LLM has only an async method.
            ScorerError: An unusable answer, with `on_bad_answer="raise"`.
        """
        if not self._chat.synchronous:
            raise InputError(f"{self._chat.name} can only be awaited: use arank, or give an LLM with a sync method")
        started = time.perf_counter()
        work = self._work(query, documents)
        step = _advance(work, None)
        while not isinstance(step, Scores):
            step = _advance(work, self._ask(step))
        return _add_seconds(step, started)

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """Do what `score` does, with the LLM's async method, or in a thread of the scorer if it has none."""
        if not self._chat.asynchronous:
            return await self._worker.run(partial(self.score, query, documents))
        started = time.perf_counter()
        work = self._work(query, documents)
        step = _advance(work, None)
        while not isinstance(step, Scores):
            step = _advance(work, await self._aask(step))
        return _add_seconds(step, started)

    def _work(self, query: str, documents: Sequence[str]) -> Work:
        query = replace_half_pairs(query)
        texts = [_cut(document, self.max_characters) for document in documents]
        spans = {
            index: Span(0, self.max_characters, truncated=True)
            for index, document in enumerate(documents)
            if len(document) > self.max_characters
        }
        record = _CallRecord(self.name, self.on_bad_answer)
        if self.method == "listwise":
            ask = partial(ranking_prompt, query, instruction=self.instruction)
            values = yield from _order_windows(ask, texts, record, self.window, self.stride)
        else:
            values = yield from _judge_each(query, texts, record, JUDGEMENTS[self.method], self.instruction)
        return Scores(tuple(values), record.usage, spans, record.degraded)

    def _ask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        if len(prompts) < 2 or self.parallel == 1:
            return [self._chat.ask(prompt) for prompt in prompts]
        with ThreadPoolExecutor(min(self.parallel, len(prompts)), thread_name_prefix="resift-llm") as pool:
            # Each call in its own copy of the caller's context, so that tracing finds its parent.
            futures = [pool.submit(copy_context().run, self._chat.ask, prompt) for prompt in prompts]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    async def _aask(self, prompts: Sequence[Prompt]) -> list[Answer]:
        semaphore = asyncio.Semaphore(self.parallel)

        async def ask_limited(prompt: Prompt) -> Answer:
            async with semaphore:
                return await self._chat.aask(prompt)

        try:
            async with asyncio.TaskGroup() as group:  # the first failure, or being cancelled, cancels the rest
                tasks = [group.create_task(ask_limited(prompt)) for prompt in prompts]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # callers catch what the LLM raised, as in `_ask`
        return [task.result() for task in tasks]


Work = Generator[list[Prompt], list[Answer], Scores]
"""Yields prompts that may be asked at the same time, gets their answers, and returns the scores. It does no I/O."""


class _CallRecord:
    """What the calls for one list have cost so far, and what was wrong with their answers."""

    def __init__(self, scorer: str, on_bad_answer: OnBadAnswer) -> None:
        self.scorer = scorer
        self.on_bad_answer = on_bad_answer
        self.usage = Usage()
        self.problems: list[str] = []

    def add(self, answer: Answer, pairs: int, problem: str | None) -> None:
        """Count a call in which the LLM read `pairs` documents. Raises ScorerError where a problem is not allowed."""
        self.usage += Usage(pairs=pairs, tokens=answer.tokens, calls=1)
        if problem is None:
            return
        if self.on_bad_answer == "raise":
            raise ScorerError(f"{self.scorer}: {problem}; the LLM answered {answer.text[:200]!r}")
        self.problems.append(problem)

    @property
    def degraded(self) -> str | None:
        if not self.problems:
            return None
        return f"{len(self.problems)} of {self.usage.calls} answers were repaired: {self.problems[0]}"


def _order_windows(
    ask: Callable[[Sequence[str]], Prompt], documents: Sequence[str], record: _CallRecord, window: int, stride: int
) -> Generator[list[Prompt], list[Answer], list[float]]:
    """Order the documents window by window and return their scores: n for the first, 1 for the last."""
    order = list(range(len(documents)))
    for start, stop in windows(len(documents), window, stride):
        indices = order[start:stop]
        (answer,) = yield [ask([documents[index] for index in indices])]
        positions, problem = read_order(answer.text, len(indices))
        record.add(answer, len(indices), problem)
        order[start:stop] = [indices[position] for position in positions]
    rank = {index: rank for rank, index in enumerate(order)}
    return [float(len(documents) - rank[index]) for index in range(len(documents))]


def _judge_each(
    query: str, documents: Sequence[str], record: _CallRecord, judgement: Judgement, instruction: str | None
) -> Generator[list[Prompt], list[Answer], list[float]]:
    """Judge each document by itself and return the scores."""
    answers = yield [judging_prompt(query, document, judgement.task, instruction) for document in documents]
    grades = [judgement.read(answer.text) for answer in answers]
    for answer, grade in zip(answers, grades, strict=True):
        record.add(answer, 1, grade.problem)
    return [grade.score for grade in grades]


def _advance(work: Work, answers: Any) -> list[Prompt] | Scores:
    """Return the next prompts, or the scores. It calls no LLM, so a StopIteration that one raises ends nothing."""
    try:
        return work.send(answers)
    except StopIteration as end:
        scores: Scores = end.value
        return scores


def _add_seconds(scores: Scores, started: float) -> Scores:
    usage = scores.usage + Usage(seconds={"llm": time.perf_counter() - started})
    return Scores(scores.values, usage, scores.spans, scores.degraded)


def _cut(document: str, limit: int) -> str:
    """Return the document's beginning, as a request can hold it."""
    return replace_half_pairs(document[:limit])
