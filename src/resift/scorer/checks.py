"""What every answer of a scorer is held to: one finite number per text, and one type of error."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

from resift._util.fork import RenewedLock
from resift.errors import InputError, OverloadedError, ScorerError
from resift.scorer.protocol import ManyScorer, Scorer, ScorerTraits
from resift.scorer.scores import Request, Scores


class ScorerEntry(RenewedLock):
    """What a thread holds while it is inside a scorer. An awaitable scorer stands many threads, and is never held."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer  # held, so that its id is taken for as long as this is here
        self._is_open = ScorerTraits.of(scorer).awaitable

    def acquire(self, *, blocking: bool = True) -> bool:
        """Enter. Return whether the scorer was free."""
        return self._is_open or super().acquire(blocking=blocking)

    def release(self) -> None:
        """Leave."""
        if not self._is_open:
            super().release()


_ENTRIES: WeakValueDictionary[int, ScorerEntry] = WeakValueDictionary()
_ENTRIES_LOCK = RenewedLock()


def entry_of(scorer: Scorer) -> ScorerEntry:
    """Return the scorer's entry: one, for as long as anybody is inside or wants to be."""
    with _ENTRIES_LOCK:
        entry = _ENTRIES.get(id(scorer))
    if entry is None:
        new = ScorerEntry(scorer)  # outside the lock: a scorer's attributes may run code of its own
        with _ENTRIES_LOCK:
            entry = _ENTRIES.setdefault(id(scorer), new)
    return entry


def score_many(scorer: Scorer, requests: Sequence[Request]) -> list[Sequence[float]]:
    """Return the scores of every request, in one pass where the scorer has one.

    One thread at a time enters a scorer that can't be awaited, whoever calls: a queue, or a scorer made of this one.

    Raises ScorerError when the scorer fails or answers for another number of requests. What resift itself
    refuses (`InputError`: an impossible query; `OverloadedError`) passes through unchanged.
    """
    try:
        with entry_of(scorer):
            if isinstance(scorer, ManyScorer):
                answers = list(scorer.score_many(requests))
            else:
                answers = [scorer.score(query, documents) for query, documents in requests]
    except (InputError, OverloadedError, ScorerError):
        raise
    except Exception as error:  # an engine may raise anything; callers catch one type, and the cause is chained
        raise scorer_error(scorer, error) from error
    if len(answers) != len(requests):
        raise ScorerError(f"{scorer.name}: {len(requests)} requests went in, {len(answers)} answers came out")
    return answers


def scorer_error(scorer: Scorer, error: BaseException) -> ScorerError:
    """Return the ScorerError that says which scorer failed and how."""
    return ScorerError(f"{scorer.name} failed: {type(error).__name__}: {error}")


def as_scores(scorer: Scorer, answer: Iterable[float], count: int) -> Scores:
    """Return the answer for `count` texts as `Scores` of plain floats.

    The answer may be any iterable of numbers, a generator too. Raises ScorerError on a wrong count, on a score that
    is no number, and on whatever the iterable raises.
    """
    known = answer if isinstance(answer, Scores) else Scores(())
    if isinstance(answer, str | bytes | Mapping):
        raise ScorerError(f"{scorer.name} answered with a {type(answer).__name__}, not with a list of numbers")
    try:
        values = tuple(map(float, known.values if known is answer else answer))
    except (InputError, ScorerError):
        raise
    except Exception as error:  # a generator runs the scorer's own code here
        raise scorer_error(scorer, error) from error
    if len(values) != count:
        raise ScorerError(f"{scorer.name}: {count} texts went in, {len(values)} scores came out")
    if known.order and sorted(known.order) != list(range(count)):
        raise ScorerError(f"{scorer.name}: its order is not one of {count} documents: {str(known.order)[:100]}")
    if any(not 0 <= index < count for index in known.spans):
        raise ScorerError(f"{scorer.name}: a span belongs to none of {count} documents: {list(known.spans)[:10]}")
    return replace(known, values=values)


def refuse_nonfinite(scorer: Scorer, scores: Mapping[int, float], what: str = "document") -> None:
    """Raise ScorerError where a score is NaN or infinite, naming the documents' indices, or those of `what` it is."""
    bad = tuple(index for index, score in scores.items() if not math.isfinite(score))
    if bad:
        shown = ", ".join(f"{what} {index}: {scores[index]}" for index in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ScorerError(
            f"{scorer.name}: {len(bad)} of {len(scores)} scores are not finite ({shown}{more})",
            places=bad if what == "document" else (),
        )


def check_scores(
    scorer: Scorer,
    answer: Iterable[float],
    slots: Sequence[int],
    unscored: Container[int] = (),
    what: str = "document",
) -> Scores:
    """Return the answer for unique texts as `Scores` of plain floats for every document.

    Args:
        scorer: Who answered; named in errors.
        answer: One number per unique text.
        slots: For each document the index of its text among the unique texts.
        unscored: Unique texts that were left out on purpose, and may be NaN.
        what: What the texts are, for errors.

    Raises:
        ScorerError: A wrong count, or NaN or infinite scores; it names the documents' indices.
    """
    known = as_scores(scorer, answer, len(set(slots)))
    spread = tuple(known.values[slot] for slot in slots)
    scored = {index: spread[index] for index, slot in enumerate(slots) if slot not in unscored}
    refuse_nonfinite(scorer, scored, what)
    spans = {index: known.spans[slot] for index, slot in enumerate(slots) if slot in known.spans}
    rank = {slot: position for position, slot in enumerate(known.order)}
    order = sorted(range(len(slots)), key=lambda index: rank.get(slots[index], len(known.values))) if rank else ()
    return replace(known, values=spread, spans=spans, order=tuple(order))
