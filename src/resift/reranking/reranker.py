"""The class people hold: a scorer's numbers become an order, and every oddity has a defined outcome."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from resift._util.arguments import SYNONYMS, helps_with_names, right_name, shown, whole_number
from resift._util.call_site import warn_at_call_site
from resift.errors import InputError, LanguageWarning, TruncationWarning
from resift.models.options import Model, ModelOptions
from resift.reranking.call import RankCall
from resift.reranking.held_scorer import HeldScorer
from resift.reranking.instructions import Instructed
from resift.reranking.languages import NOT_ENGLISH, mostly_not_english
from resift.reranking.limits import Limits
from resift.reranking.ranking import Ranking, Stats
from resift.reranking.steps import OnError as OnError  # its place for who types
from resift.reranking.steps import RankSteps
from resift.scorer import Scorer
from resift.scoring.call_limit import CallLimit
from resift.scoring.queue import queue_of

if TYPE_CHECKING:
    from resift.explanation.explain import Method
    from resift.explanation.explanation import Explanation
    from resift.explanation.occlusion import Unit
    from resift.scoring.calibrated import Calibration

T = TypeVar("T")

TRUNCATED = (
    "some documents are longer than the model reads, and only their beginning was scored (hit.truncated marks them, "
    "stats.truncated counts them)."
)
"""Without numbers: Python shows a warning once per line and text."""


class Reranker(RankSteps):
    """Puts documents in the order a cross-encoder (or any `Scorer`) gives them.

    One thread enters a scorer, whoever calls and however many rerankers share it, and calls that come together
    are scored together. `close`, or `with`, ends it.

    Args:
        model: None for the bundled cross-encoder; a folder; a Hugging Face id; `scheme:name`; or a `Scorer`.
        top_k: How many documents to keep, the best ones. None keeps all.
        min_relevance: Keep only documents at least this relevant, 0..1; applied before `top_k`.
        on_error: What a scorer's failure means: "raise", or "keep_order", which answers with the first-stage order,
            flagged in `Ranking.degraded`.
        deadline: Seconds after which what is scored is ranked. The rest keeps its first-stage order behind it,
            flagged in `degraded`.
        patience: Stop scoring when so many documents in a row brought none into the best `top_k`; the rest as above.
        evidence: How many sentences of each hit to find that answer, with their places, in `Hit.evidence`; True is one.
            The sentences of the hits that are returned are scored too; a service or an LLM gets one more request.
        prune: Keep only sentences at least this relevant, 0..1, and their headings, in `Hit.pruned`. Each hit's best
            one stays, and what has half the relevance of the best one of all.
        cache: A file that remembers scores, or ":memory:" to remember them in memory alone: see `Cached`.
        calibration: A file of `resift threshold --save`, or a `Calibration`: scores become log-odds of being relevant,
            so that `relevance` and `min_relevance` mean the same as with the bundled models: see `Calibrated`.
        max_pending: Calls, from threads and event loops alike, that may wait.
        **options: Options of the model's engine, which checks them: see `ModelOptions`.

    Raises:
        InputError: An impossible argument, or an option the engine doesn't have.
        UnknownModelError: A name that stands for no model.
        ModelFileError: A model that can't be loaded.
        MissingExtraError: The engine's library isn't installed.

    >>> ranking = Reranker().rank("what eats bamboo?", ["Stocks fell.", "Pandas eat bamboo."])
    >>> [(hit.rank, hit.index, hit.document) for hit in ranking]
    [(1, 1, 'Pandas eat bamboo.'), (2, 0, 'Stocks fell.')]
    """

    def __init__(
        self,
        model: Model = None,
        *,
        top_k: int | None = None,
        min_relevance: float | None = None,
        on_error: OnError = "raise",
        deadline: float | None = None,
        patience: int | None = None,
        evidence: int = 0,
        prune: float | None = None,
        cache: str | os.PathLike[str] | None = None,
        calibration: str | os.PathLike[str] | Calibration | None = None,
        max_pending: int = 1024,
        **options: Unpack[ModelOptions],
    ) -> None:
        if isinstance(model, Reranker):
            raise InputError("model is a Reranker already; give its scorer, as in Reranker(other.scorer)")
        if not isinstance(on_error, str) or on_error not in ("raise", "keep_order"):
            raise InputError(f"on_error is 'raise' or 'keep_order', not {shown(on_error)}")
        whole_number("max_pending", max_pending, 1)
        Limits(top_k, min_relevance, deadline, patience, evidence, prune)  # checked before a model is loaded
        _refuse_other_names(options)
        self._held = HeldScorer(model, options, calibration, cache)
        self.scorer: Scorer = self._held.scorer
        self.top_k = top_k
        self.min_relevance = min_relevance
        self.on_error = on_error
        self.deadline = deadline
        self.patience = patience
        self.evidence = evidence
        self.prune = prune
        self._call_limit = CallLimit(max_pending)
        self._queue = queue_of(self.scorer)
        self._instructed = Instructed()
        self._limits()

    def __repr__(self) -> str:
        return f"Reranker({self.scorer.name!r}, top_k={self.top_k}, min_relevance={self.min_relevance})"

    @helps_with_names
    def rank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
        body: Callable[[T], str] | None = None,
        instruction: str | None = None,
    ) -> Ranking[T]:
        """Return the documents in a new order, best first.

        Documents with equal scores keep their first-stage order (a service's own, where one ranked them). Equal texts
        are scored once and all returned.

        Args:
            query: The question; a text with something in it. It is never cut.
            documents: Any objects, in first-stage order. They come back as they are.
            text: Gives an object's text, as `key` does for `sorted`. None: the documents are texts.
            top_k: As in the constructor, for this call.
            min_relevance: The same.
            deadline: The same.
            evidence: The same.
            prune: The same.
            body: Gives the part of an object's text that sentences are taken from: their places are places there.
                None: all of its text.
            instruction: What makes a document relevant, in words, for a model that reads one.

        Returns:
            The hits, best first, with what the call cost.

        Raises:
            InputError: An empty query, a document without text, an impossible argument, a query longer than the model
                can read, a closed reranker.
            ScorerError: The scorer failed, or gave a wrong number of scores, NaN or inf.
            OverloadedError: `max_pending` calls are waiting already.
        """
        limits = self._limits(top_k, min_relevance, deadline, evidence, prune)
        (ranking,) = self._instructed.of(self, instruction)._rank([RankCall.of(query, documents, text, body)], limits)
        self._warn_of_texts(ranking.stats)
        return ranking

    @helps_with_names
    async def arank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
        body: Callable[[T], str] | None = None,
        instruction: str | None = None,
    ) -> Ranking[T]:
        """Do what `rank` does, without blocking the event loop. Cancelling it ends the work."""
        limits = self._limits(top_k, min_relevance, deadline, evidence, prune)
        call = RankCall.of(query, documents, text, body)
        instructed = self._instructed.of(self, instruction)
        if self._queue.traits.awaitable:
            ranking = await instructed._await_scorer(call, limits)
        else:
            (ranking,) = await instructed._arank([call], limits)
        self._warn_of_texts(ranking.stats)
        return ranking

    @helps_with_names
    def rank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Iterable[T]],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
        body: Callable[[T], str] | None = None,
        instruction: str | None = None,
    ) -> list[Ranking[T]]:
        """Return one ranking per query over its own documents. Their batches are shared.

        Each ranking equals what `rank` gives for it alone; `stats.batches` counts the batches it had a part in.

        Args:
            queries: The questions.
            documents: A list of documents for each query, in the queries' order.
            text: As in `rank`.
            top_k: As in `rank`.
            min_relevance: As in `rank`.
            deadline: As in `rank`, for all queries together.
            evidence: As in `rank`.
            prune: As in `rank`.
            body: As in `rank`.
            instruction: As in `rank`.

        Raises:
            InputError: Also where there isn't one list of documents per query.
            ScorerError, OverloadedError: As in `rank`.
        """
        limits = self._limits(top_k, min_relevance, deadline, evidence, prune)
        rankings = self._instructed.of(self, instruction)._rank(RankCall.many(queries, documents, text, body), limits)
        self._warn_of_texts(*(ranking.stats for ranking in rankings))
        return rankings

    @helps_with_names
    async def arank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Iterable[T]],
        *,
        text: Callable[[T], str] | None = None,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
        body: Callable[[T], str] | None = None,
        instruction: str | None = None,
    ) -> list[Ranking[T]]:
        """Do what `rank_many` does, without blocking the event loop. Cancelling it ends the work."""
        limits = self._limits(top_k, min_relevance, deadline, evidence, prune)
        rankings = await self._instructed.of(self, instruction)._arank(
            RankCall.many(queries, documents, text, body), limits
        )
        self._warn_of_texts(*(ranking.stats for ranking in rankings))
        return rankings

    @helps_with_names
    def explain(
        self,
        query: str,
        document: T,
        *,
        text: Callable[[T], str] | None = None,
        method: Method | None = None,
        budget: int = 256,
        unit: Unit | None = None,
    ) -> Explanation:
        """Return which words of a document carry its score, for which words of the query.

        Args:
            query: The question.
            document: One document, as in `rank`.
            text: As in `rank`.
            method: "parts": the network's own sums, which add up to the score; `resift:small`, `resift:tiny` and what
                `resift train` makes have them. "occlusion": how the score falls without a word. "attention",
                "gradient": where a cross-encoder of sentence-transformers looks, and gradient x input. None: parts
                where there are some, else occlusion.
            budget: Texts that occlusion may have scored, at most; a service may charge for each.
            unit: What occlusion leaves out, "word" or "sentence". None: the smaller one that the budget allows.

        Raises:
            InputError: As in `rank`; a method that this scorer doesn't have; a budget below 3.
            ScorerError: The scorer failed.
            OverloadedError: As in `rank`.

        >>> Reranker().explain("python snake", "Ball python care guide").top_words(1)[0][0].text
        'python'
        """
        from resift.explanation.explain import explain  # not at the top: ranking needs none of it

        call = RankCall.of(query, [document], text)
        ticket: Future[None] = Future()
        self._call_limit.enter(ticket)
        try:
            return explain(self.scorer, query, call.unique[0], method=method, budget=budget, unit=unit)
        finally:
            ticket.cancel()

    async def aexplain(
        self,
        query: str,
        document: T,
        *,
        text: Callable[[T], str] | None = None,
        method: Method | None = None,
        budget: int = 256,
        unit: Unit | None = None,
    ) -> Explanation:
        """Do what `explain` does, without blocking the event loop.

        Arguments and errors are those of `explain`. Explanations of one process are made one after the other.
        """
        from resift.explanation.explain import in_background

        return await in_background(
            partial(self.explain, query, document, text=text, method=method, budget=budget, unit=unit)
        )

    def close(self) -> None:
        """Refuse new calls, wait for those under way, and close the scorers that were loaded by name.

        Those are the reranker's own, and the members of an `Ensemble`, `Fallback`, `Fused` or `Cascade`. What another
        reranker was given too is closed with the last of them. A scorer that you made yourself stays open.
        """
        self._call_limit.close()
        self._held.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await self._call_limit.aclose()
        await self._held.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _limits(
        self,
        top_k: int | None = None,
        min_relevance: float | None = None,
        deadline: float | None = None,
        evidence: int | None = None,
        prune: float | None = None,
    ) -> Limits:
        """Return what applies to a call. Raises InputError where it makes no sense for this scorer."""
        return Limits(
            self.top_k if top_k is None else top_k,
            self.min_relevance if min_relevance is None else min_relevance,
            self.deadline if deadline is None else deadline,
            self.patience,
            self.evidence if evidence is None else evidence,
            self.prune if prune is None else prune,
        ).check(self.scorer)

    def _warn_of_texts(self, *stats: Stats) -> None:
        """Warn where texts went unread in part, and where most of them are in a language that the model can't read."""
        if mostly_not_english(*stats):
            warn_at_call_site(NOT_ENGLISH, LanguageWarning)
        truncated = sum(each.truncated for each in stats)
        long_documents = self._queue.traits.long_documents
        if not truncated or long_documents == "first_window":
            return
        advice = ""
        if long_documents is not None:  # an LLM or a service has no such choice
            advice = "long_documents='max_window' scores all of it, 'first_window' says the beginning is enough"
        warn_at_call_site(" ".join(filter(None, [TRUNCATED, advice])), TruncationWarning)


ARGUMENTS = (
    *("top_k", "min_relevance", "on_error", "deadline", "patience", "evidence", "prune"),
    *("cache", "calibration", "max_pending", "model"),
)


def _refuse_other_names(options: Iterable[str]) -> None:
    """Raise InputError for what other libraries call a reranker's own arguments: no engine has such an option."""
    for name in options:
        meant = SYNONYMS.get(name.lower()) or right_name(name, [*ARGUMENTS, *ModelOptions.__annotations__])
        if name not in ModelOptions.__annotations__ and meant in ARGUMENTS:
            raise InputError(f"Reranker has no option {name}: did you mean {meant}?")
