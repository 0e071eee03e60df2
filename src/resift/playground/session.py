"""What the playground does when the page asks: search, explain, judge, and write code. It knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from resift.errors import InputError
from resift.explanation.explain import plan_occlusion
from resift.models.bundled import STATE_KEEPERS
from resift.playground.code import HYBRID, SearchSettings, Source, snippets
from resift.playground.judgements import Judgements, commands
from resift.playground.pages import describe_explanation, describe_search, mark_of
from resift.reranking.limits import Limits
from resift.reranking.ranking import Ranking
from resift.reranking.reranker import Reranker
from resift.scorer import Scale
from resift.scoring.ensemble import Fused
from resift.search.candidates import Passage
from resift.search.chroma import ChromaFirstStage, get_count, get_records
from resift.search.hybrid import HybridFirstStage
from resift.search.two_stage import TwoStageSearch

MakeReranker = Callable[[str, str | None], Reranker]
"""Model and `long_documents` (None: the model's own way) → reranker."""
VECTORS = "vectors"
LONG_DOCUMENTS = ("max_window", "first_window", "truncate")


@dataclass(frozen=True, slots=True)
class _KnownScores:
    """The scores of a ranking, as a scorer: what fuses them with the first stage need not compute them again."""

    name: str
    scale: Scale
    scores: dict[str, float]

    def score(self, query: str, documents: Sequence[str]) -> list[float]:  # noqa: ARG002 - all are of one query
        """Return the scores that are known."""
        return [self.scores[document] for document in documents]


class Playground:
    """A collection that is searched and judged. Its calls come one at a time.

    Args:
        first_stage: The collection, searched by vectors.
        hybrid: The same, searched by words too, which is then the default. None: it can't be.
        models: Names of the models to choose from, the default first.
        make_reranker: Makes a reranker; each is made once.
        judgements: Where marks are kept.
        source: What the generated code opens.
        temporary: Whether the database goes when the playground ends.
    """

    def __init__(
        self,
        first_stage: ChromaFirstStage,
        *,
        models: Sequence[str],
        make_reranker: MakeReranker,
        judgements: Judgements,
        source: Source,
        hybrid: HybridFirstStage | None = None,
        temporary: bool = False,
    ) -> None:
        self.first_stage = first_stage
        self.stages: Mapping[str, ChromaFirstStage | HybridFirstStage] = {
            **({} if hybrid is None else {HYBRID: hybrid}),
            VECTORS: first_stage,
        }
        """Name → first stage, the default first."""
        self.models = tuple(dict.fromkeys(models))
        self.judgements = judgements
        self.source = source
        self.temporary = temporary
        self._make_reranker = make_reranker
        self._rerankers: dict[tuple[str, str | None], Reranker] = {}
        self._scored: tuple[tuple[Any, ...], Ranking[Passage]] | None = None
        """What the last search scored, with what its scores depend on."""

    def state(self) -> dict[str, Any]:
        """Return what the page shows before a question is asked."""
        collection = self.first_stage.collection
        return {
            "collection": collection.name,
            "database": str(self.source.database),
            "temporary": self.temporary,
            "passages": get_count(collection),
            "bi_encoder": self.source.embedder or "the collection's own embedding function",
            "first_stages": list(self.stages),
            "models": list(self.models),
            "long_documents": list(LONG_DOCUMENTS),
            "version": version("resift"),
            "judgements": self.describe_judgements(),
        }

    def describe_judgements(self) -> dict[str, Any]:
        """Return what is marked, where it is kept, and the commands that read it."""
        questions = self.judgements.questions()
        return {
            "folder": str(self.judgements.folder),
            "questions": questions,
            "right": sum(question["right"] for question in questions),
            "wrong": sum(question["wrong"] for question in questions),
            "commands": commands(self.judgements.folder),
        }

    def search(self, query: str, settings: SearchSettings, *, reuse: bool = False) -> dict[str, Any]:
        """Return both stages of a search.

        Args:
            query: The question.
            settings: What is chosen.
            reuse: Where the last search had the same scores, take those: another number of results, threshold or
                fusion then shows at once.

        Raises:
            ResiftError: As `TwoStageSearch.search` does.
        """
        reranker = self._reranker(settings)
        if settings.fuse and settings.min_relevance is not None:
            raise InputError(
                "an order that is fused with the first stage's has no relevance to set a threshold on: leave out one"
            )
        limits = Limits(settings.top_k, settings.min_relevance, None, None).check(reranker.scorer)
        base = self._score(query, settings, reranker, reuse=reuse)
        ranking = _fused(base, settings.fuse) if settings.fuse else base
        kept = _kept(ranking, limits)
        grades = self.judgements.grades(query, [hit.text for hit in ranking])
        return describe_search(ranking, base, kept, grades)

    def explain(self, query: str, id: str, settings: SearchSettings, *, confirmed: bool) -> dict[str, Any]:
        """Return why a passage has its score; or, unless it is confirmed, how many texts that would score, if any.

        Raises InputError where there is no such passage, and what `Reranker.explain` raises.
        """
        reranker, passage = self._reranker(settings), self._passage(id)
        plan = None if confirmed else plan_occlusion(reranker.scorer, query, passage.text)
        if plan is not None:
            return {"plan": {"texts": plan.pairs, "unit": str(plan.unit), "model": reranker.scorer.name}}
        return describe_explanation(reranker.explain(query, passage.text))

    def mark(self, query: str, id: str, grade: int | None, settings: SearchSettings) -> dict[str, Any]:
        """Keep a mark, and with it what the first stage finds for the question. Raises as `Judgements.mark` does."""
        passage = self._passage(id)
        candidates = self._stage(settings).retrieve(query, max(settings.candidates, settings.top_k))
        self.judgements.mark(query, passage, grade, candidates)
        texts = [each.text for each in candidates]
        marks = zip(candidates, self.judgements.grades(query, texts), strict=True)
        return {
            "marks": {**{each.id: mark_of(given) for each, given in marks}, id: mark_of(grade)},
            "judgements": self.describe_judgements(),
        }

    def code(self, query: str, settings: SearchSettings) -> dict[str, str]:
        """Return the programs that do the same search."""
        self._check_model(settings.model)
        states = self.source.states_file
        keeps = settings.model in STATE_KEEPERS and states is not None and states.is_file()
        source = self.source if keeps else Source(self.source.database, self.source.collection, self.source.bi_encoder)
        return snippets(source, replace(settings, first_stage=self._stage_name(settings)), query)

    def _score(self, query: str, settings: SearchSettings, reranker: Reranker, *, reuse: bool) -> Ranking[Passage]:
        depth, stage = max(settings.candidates, settings.top_k), self._stage(settings)
        key = (query, settings.model, settings.long_documents, depth, stage)
        if not reuse or self._scored is None or self._scored[0] != key:
            self._scored = None
            self._scored = (key, TwoStageSearch(stage, reranker, candidates=depth).search(query, None))
        return self._scored[1]

    def _stage(self, settings: SearchSettings) -> ChromaFirstStage | HybridFirstStage:
        return self.stages[self._stage_name(settings)]

    def _stage_name(self, settings: SearchSettings) -> str:
        name = settings.first_stage or next(iter(self.stages))
        if name not in self.stages:
            raise InputError("words can't be searched here, only vectors: pip install -U 'resift[chroma]'")
        return name

    def _reranker(self, settings: SearchSettings) -> Reranker:
        self._check_model(settings.model)
        key = (settings.model, settings.long_documents)
        if key not in self._rerankers:
            self._rerankers[key] = self._make_reranker(*key)
        return self._rerankers[key]

    def _check_model(self, model: str) -> None:
        """Raise InputError for a model that isn't offered: a page must not open folders or services of its choice."""
        if model not in self.models:
            raise InputError(
                f"the model {model[:100]!r} is not offered here (there is: {', '.join(self.models)}); "
                "start the playground with --model to add it"
            )

    def _passage(self, id: str) -> Passage:
        found = get_records(self.first_stage.collection, ids=[id], include=["documents", "metadatas"])
        if not found["ids"] or not found["documents"]:
            raise InputError(f"there is no passage {id[:100]!r} in the collection any more: search again")
        metadatas: list[Any] = list(found["metadatas"] or ()) or [None]
        return Passage(found["documents"][0], id, dict(metadatas[0] or {}))


def _kept(ranking: Ranking[Passage], limits: Limits) -> list[bool]:
    kept, count = [], 0
    for hit in ranking:
        relevant = limits.min_relevance is None or (hit.relevance is not None and hit.relevance >= limits.min_relevance)
        keep = relevant and (limits.top_k is None or count < limits.top_k)
        kept.append(keep)
        count += keep
    return kept


def _fused(base: Ranking[Passage], weight: float) -> Ranking[Passage]:
    known = _KnownScores(base.model, base.scale, {hit.text: hit.score for hit in base})
    passages = [hit.document for hit in sorted(base, key=lambda hit: hit.index)]
    return Reranker(Fused(known, weight=weight)).rank(base.query, passages, text=lambda passage: passage.text)
