"""The scorer that a reranker holds: loaded, calibrated and cached as it was told, and closed with it."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

from resift.models.options import Model, ModelOptions
from resift.scorer import Scorer, WrapperScorer, aclose_scorer, close_scorer, entry_of, with_instruction
from resift.scoring.load import load_scorer

if TYPE_CHECKING:
    from resift.scoring.calibrated import Calibration

IN_MEMORY = ":memory:"  # SQLite's own name for it


class HeldScorer:
    """A scorer and what is closed with it: what was loaded by name here, and in a wrapper that nobody else uses.

    Args:
        model: What `Reranker` takes.
        options: Options of the model's engine. An instruction may go to a scorer that was made already, too.
        calibration: As `Reranker` takes it.
        cache: The same.
    """

    def __init__(
        self,
        model: Model,
        options: ModelOptions,
        calibration: str | os.PathLike[str] | Calibration | None,
        cache: str | os.PathLike[str] | None,
    ) -> None:
        made = model is not None and not isinstance(model, str | os.PathLike)
        instruction = options.get("instruction") if made else None
        if instruction is not None:  # an engine that makes the scorer takes it itself
            options = {name: value for name, value in options.items() if name != "instruction"}  # type: ignore[assignment]  # still ModelOptions
        self.scorer: Scorer = load_scorer(model, **options)
        self._owned: list[Scorer] = [] if self.scorer is model else [self.scorer]
        self._shared: WrapperScorer | None = None
        if isinstance(self.scorer, WrapperScorer) and not self._owned:
            self.scorer.users.add(self)
            self._shared = self.scorer
        try:
            if instruction is not None:
                self.scorer = with_instruction(self.scorer, instruction)
            if cache is not None:
                from resift.scoring.cached import Cached  # not at the top: it brings SQLite

                self.scorer = Cached(self.scorer, None if isinstance(cache, str) and cache == IN_MEMORY else cache)
                self._owned.append(self.scorer)
            if calibration is not None:
                from resift.scoring.calibrated import Calibrated  # not at the top: few need it

                self.scorer = Calibrated(self.scorer, calibration)  # around the cache, which keeps the model's own
        except BaseException:
            self._close_owned()
            raise

    def close(self) -> None:
        """Close what is to be closed, once no thread is inside."""
        self._close_owned()
        if shared := self._last_use():
            with entry_of(shared):
                shared.close_loaded()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        async with AsyncExitStack() as stack:
            for scorer in self._owned:
                stack.push_async_callback(aclose_scorer, scorer)
        if shared := self._last_use():
            await shared.aclose_loaded()

    def _close_owned(self) -> None:
        with ExitStack() as stack:  # one that fails to close keeps no other open
            for scorer in self._owned:
                stack.callback(close_scorer, scorer)

    def _last_use(self) -> WrapperScorer | None:
        """Return the wrapper that was given, unless another reranker still uses it."""
        if self._shared is None:
            return None
        self._shared.users.discard(self)
        return None if self._shared.users else self._shared
