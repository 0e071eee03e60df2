"""The sentences that answer: what is asked of the scorer after the order is known, and what becomes of the answers."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

from resift.errors import ScorerError
from resift.reranking.call import RankCall
from resift.reranking.limits import Limits
from resift.reranking.ranking import Hit, Ranking
from resift.reranking.sentences import Pruned, ScoredSentence
from resift.scorer import Request, Scorer, ScorerTraits, Scores, check_scores
from resift.scoring.pending import PendingRequest
from resift.text.half_pairs import replace_half_pairs
from resift.text.sentences import Sentence, find_sentences, headings_above

T = TypeVar("T")

LOCAL_SENTENCES = 4096
ASKED_SENTENCES = 100
"""Sentences that are scored for a ranking, at most: by an engine here, and by a service, an LLM or a scorer of yours.
Beyond, neighbours are joined, down to one piece of each hit."""
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")
SHARE_OF_BEST = 0.5
"""A sentence with this share of the relevance that the ranking's best one has is kept whatever `prune` says."""


class _Found(NamedTuple):
    """What the scorer says of a sentence; `order` decides between equal scores."""

    score: float
    relevance: float | None
    order: int


class _Body(NamedTuple):
    """What is divided of one document."""

    text: str
    sentences: list[Sentence]
    asked: list[int]
    """Indices of the sentences that are scored: all but headings."""
    above: list[tuple[int, ...]]
    counts: list[int]
    """How many sentences and headings each one is: more than one where neighbours were joined."""

    @classmethod
    def of(cls, text: str) -> _Body:
        sentences = find_sentences(text)
        asked = [index for index, sentence in enumerate(sentences) if sentence.level == 0]
        if not asked:  # headings alone
            sentences = [sentence._replace(level=0) for sentence in sentences]
            asked = list(range(len(sentences)))
        return cls(text, sentences, asked, headings_above(text, sentences), [1] * len(sentences))

    def joined(self, size: int) -> _Body:
        """Return the same with so many neighbours joined to one; headings among them go along."""
        firsts = self.asked[::size]
        edges = [0, *firsts[1:], len(self.sentences)]
        groups = [(first, last - 1) for first, last in pairwise(edges) if first < last]
        sentences = [Sentence(self.sentences[first].start, self.sentences[last].end) for first, last in groups]
        counts = [last + 1 - first for first, last in groups]
        return _Body(self.text, sentences, list(range(len(sentences))), [()] * len(sentences), counts)

    def said(self, index: int) -> str:
        start, end, _ = self.sentences[index]
        return self.text[start:end]


@dataclass(frozen=True, slots=True)
class SentenceCall(Generic[T]):
    """One ranking whose hits get their sentences scored: every sentence once."""

    call: RankCall[T]
    ranking: Ranking[T]
    bodies: dict[int, _Body]
    """Place of a hit → what is divided of it. Hits without a score, and those that are one sentence, are not asked."""
    unique: list[str]
    started: float

    @classmethod
    def of(cls, traits: ScorerTraits, call: RankCall[T], ranking: Ranking[T]) -> SentenceCall[T]:
        """Divide the hits that have a score."""
        started = time.perf_counter()
        bodies = {
            place: _Body.of(call.body_of(hit.index))
            for place, hit in enumerate(ranking.hits)
            if not math.isnan(hit.score)
        }
        most = ASKED_SENTENCES if traits.awaitable or traits.long_documents is None else LOCAL_SENTENCES
        unique = _unique(ranking, bodies)
        divided, size, longest = bodies, 1, max((len(body.asked) for body in bodies.values()), default=0)
        while len(unique) > most and size < longest:  # pieces are counted by hit, so one step may not be enough
            size = max(size + 1, size * len(unique) // most)
            bodies = {place: body.joined(size) for place, body in divided.items()}
            unique = _unique(ranking, bodies)
        return cls(call, ranking, bodies, unique, started)

    @property
    def request(self) -> Request:
        """What the scorer is asked."""
        return Request(replace_half_pairs(self.call.query), [replace_half_pairs(text) for text in self.unique])

    def finish(self, scorer: Scorer, pending: PendingRequest, limits: Limits) -> Ranking[T]:
        """Return the ranking with evidence, pruned as the limits say.

        Raises ScorerError for a scorer that failed, or whose scores `prune` can't use.
        """
        if pending.error is not None:
            raise pending.error
        answer, unscored = pending.answer()
        scores = check_scores(scorer, answer, range(len(self.unique)), unscored, "sentence")
        scale = scores.scale or scorer.scale
        if limits.prune is not None and not scale.has_relevance:
            model = f"{scores.model or scorer.name} answered on the {scale} scale"
            raise ScorerError(f"{model}, which prune={limits.prune} can't use")
        places = {text: place for place, text in enumerate(self.unique)}
        rank = {place: position for position, place in enumerate(scores.order)}
        hits = list(self.ranking.hits)
        found: dict[int, list[_Found]] = {}
        for place, body in self.bodies.items():
            hit = hits[place]
            if _is_whole(hit, body):
                found[place] = [_Found(hit.score, hit.relevance, 0)]
                continue
            asked = [places[body.said(index)] for index in body.asked]
            if unscored.isdisjoint(asked):
                values = [scores.values[at] for at in asked]
                found[place] = [
                    _Found(value, scale.relevance(value), rank.get(at, 0))
                    for value, at in zip(values, asked, strict=True)
                ]
        enough = _enough(limits.prune, [sentence.relevance for of_hit in found.values() for sentence in of_hit])
        for place, of_hit in found.items():
            hits[place] = _with_sentences(hits[place], self.bodies[place], of_hit, limits.evidence, enough)
        missing = len(self.bodies) - len(found)
        late = None
        if missing:  # nothing but a deadline leaves some out
            late = f"evidence for {len(found)} of {len(self.bodies)} hits within {limits.deadline:g} s"
        reasons = [self.ranking.degraded, scores.degraded, late]
        degraded = "; ".join(dict.fromkeys(filter(None, reasons))) or None
        return replace(self.ranking, hits=tuple(hits), degraded=degraded, stats=self._stats(hits, scores))

    def without(self, error: ScorerError) -> Ranking[T]:
        """Return the ranking as it was, flagged: it has no evidence."""
        degraded = "; ".join(filter(None, [self.ranking.degraded, f"no evidence: {error}"]))
        return replace(self.ranking, degraded=degraded)

    def _stats(self, hits: Sequence[Hit[T]], scores: Scores) -> Any:
        usage, stats = scores.usage, self.ranking.stats
        spent = time.perf_counter() - self.started
        seconds = {**stats.seconds, "evidence": spent, "total": time.perf_counter() - self.call.started}
        pruned = [hit.pruned for hit in hits if hit.pruned is not None]
        return replace(
            stats,
            pairs=stats.pairs + usage.pairs,
            tokens=stats.tokens + usage.tokens,
            padded_tokens=stats.padded_tokens + usage.padded_tokens,
            batches=stats.batches + usage.batches,
            cache_hits=stats.cache_hits + usage.cache_hits,
            states_kept=stats.states_kept + usage.states_kept,
            calls=stats.calls + usage.calls,
            billed={
                key: stats.billed.get(key, 0.0) + usage.billed.get(key, 0.0) for key in {**stats.billed, **usage.billed}
            },
            sentences=len(self.unique),
            sentences_removed=sum(each.sentences_removed for each in pruned),
            characters_removed=sum(each.characters_removed for each in pruned),
            seconds=seconds,
        )


def _unique(ranking: Ranking[Any], bodies: Mapping[int, _Body]) -> list[str]:
    """Return what the scorer is asked: each sentence once, and none that is a whole text with a score already."""
    asked = (
        body.said(index)
        for place, body in bodies.items()
        if not _is_whole(ranking.hits[place], body)
        for index in body.asked
    )
    return list(dict.fromkeys(asked))


def _is_whole(hit: Hit[Any], body: _Body) -> bool:
    """Return whether the only sentence is the text that has a score already."""
    return len(body.sentences) == 1 and body.said(0) == hit.text


def _enough(prune: float | None, relevance: Sequence[float | None]) -> float | None:
    """Return the relevance from which on a sentence is kept: where all are low, half of the best one's."""
    if prune is None:
        return None
    best = max((known for known in relevance if known is not None), default=0.0)
    return min(prune, best * SHARE_OF_BEST) if best > 0 else prune


def _with_sentences(hit: Hit[T], body: _Body, found: Sequence[_Found], wanted: int, enough: float | None) -> Hit[T]:
    order = sorted(range(len(found)), key=lambda at: (-found[at].score, found[at].order))
    best = [
        ScoredSentence(body.said(body.asked[at]), *body.sentences[body.asked[at]][:2], *found[at][:2]) for at in order
    ]
    pruned = None
    if enough is not None and order:
        kept = {body.asked[at] for at in order if (found[at].relevance or 0.0) >= enough} or {body.asked[order[0]]}
        pruned = _prune(body, kept)
    return replace(hit, evidence=tuple(best[:wanted]), pruned=pruned)


def _prune(body: _Body, kept: set[int]) -> Pruned:
    """Return what is left of a text: these sentences and the headings above them, as they stood beside each other."""
    kept = kept.union(*(body.above[index] for index in kept))
    spans: list[tuple[int, int]] = []
    before = -1
    for index in sorted(kept):
        start, end, _ = body.sentences[index]
        if index == before + 1 and spans:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
        before = index
    text = body.text
    # White space around the whole text is nobody's but that of the sentence beside it.
    if 0 in kept:
        spans[0] = (0, spans[0][1])
    if before == len(body.sentences) - 1:
        spans[-1] = (spans[-1][0], len(text))
    parts = [text[slice(*span)] for span in spans]
    gaps = [_gap(text[left[1] : right[0]]) for left, right in pairwise(spans)]
    joined = "".join(part + gap for part, gap in zip(parts, [*gaps, ""], strict=True))
    removed = len(text) - sum(end - start for start, end in spans)
    gone = sum(count for index, count in enumerate(body.counts) if index not in kept)
    return Pruned(joined, tuple(spans), gone, removed)


def _gap(removed: str) -> str:
    r"""Return what stands in place of removed text: an empty line, a line end, a space or nothing, as it had one.

    >>> _gap(" It rained.\r\n\r\n"), _gap(" It rained. "), _gap("\u5929\u4e0b\u96e8\u3002")
    ('\n\n', ' ', '')
    """
    if "\n" in removed:
        return "\n\n" if _EMPTY_LINE.search(removed) else "\n"
    return " " if removed != removed.strip() else ""
