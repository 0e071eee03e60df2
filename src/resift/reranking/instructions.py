"""A reranker's calls with an instruction: the same model and limits, and other scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from resift._util.fork import RenewedLock
from resift._util.lru import LRUCache
from resift.scorer import check_instruction, with_instruction
from resift.scoring.queue import queue_of

if TYPE_CHECKING:
    from resift.reranking.reranker import Reranker

    R = TypeVar("R", bound=Reranker)

KEPT = 16
"""Instructions whose scorers are kept, with their prompts made ready."""


class Instructed:
    """The rerankers that stand in for one where a call has an instruction: one for each, those used last."""

    def __init__(self) -> None:
        self._kept: LRUCache[str, Any] = LRUCache(KEPT)
        self._lock = RenewedLock()

    def of(self, reranker: R, instruction: str | None) -> R:
        """Return the reranker for a call: itself without an instruction.

        Raises InputError for an instruction that the model can't read, or that says nothing.
        """
        if instruction is None:
            return reranker
        check_instruction(instruction)
        with self._lock:  # threads that come at once share one scorer, which one thread enters
            kept = self._kept.get([instruction])
            if instruction not in kept:
                scorer = with_instruction(reranker.scorer, instruction)
                copy = object.__new__(type(reranker))
                copy.__dict__.update(
                    reranker.__dict__, scorer=scorer, _queue=queue_of(scorer), _instructed=Instructed()
                )
                self._kept.put(kept := {instruction: copy})
        found: R = kept[instruction]
        found.on_error = reranker.on_error  # which may have been changed since
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return (Instructed, ())
