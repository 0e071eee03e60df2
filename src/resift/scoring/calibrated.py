"""A scorer whose numbers mean log-odds of being relevant, by a slope and a shift that were fitted on judged data."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from resift._util.arguments import number, shown
from resift._util.atomic import write_whole
from resift.errors import InputError, ScorerError
from resift.scorer import Request, Scale, Scorer, ScorerTraits, Scores, WrapperScorer
from resift.scoring.fallback import Fallback
from resift.scoring.load import check_scorer

FORMAT = "resift calibration 1"
NEAREST_TO_CERTAIN = 1e-6
"""A probability has no log-odds at 0 and 1; services round to both."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What makes a model's scores log-odds: slope x score + shift. `resift threshold --save` fits it.

    Of a scale of probabilities it is slope x log-odds of the score + shift.
    """

    model: str
    """The model's name."""
    scale: Scale
    """The scale that it was fitted on."""
    slope: float
    shift: float
    identity: str | None = None
    """The model's fingerprint (`ScorerTraits.identity`), where it has one."""
    fitted: Mapping[str, Any] = field(default_factory=dict)
    """How it was fitted: collection, first stage, counts, and the calibration error before and after."""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise InputError(f"the model of a calibration is its name, got {shown(self.model)}")
        try:
            object.__setattr__(self, "scale", Scale(self.scale))  # a plain text is one, too
        except ValueError:
            raise InputError(
                f"the scale of a calibration is one of {', '.join(Scale)}, got {shown(self.scale)}"
            ) from None
        for name in ("slope", "shift"):  # as Python's own number: NumPy's can't be written as JSON
            object.__setattr__(self, name, number(name, getattr(self, name)))
        if not (math.isfinite(self.slope) and self.slope > 0):
            raise InputError(f"the slope of a calibration is above 0, got {self.slope}: it must keep the order")
        if not math.isfinite(self.shift):
            raise InputError(f"the shift of a calibration is a finite number, got {self.shift}")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read a file that `save` wrote. Raises InputError, with the file, for anything else."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InputError(f"calibration {os.fspath(path)} can't be read: {reason}") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(
                f"{os.fspath(path)} is no calibration: `resift threshold COLLECTION --save FILE` writes one "
                f"(its format is {FORMAT!r}, not {shown(data.get('format') if isinstance(data, dict) else data)})"
            )
        try:
            return cls(
                _text(data, "model"),
                Scale(_text(data, "scale")),
                number("slope", data.get("slope")),
                number("shift", data.get("shift")),
                None if data.get("identity") is None else _text(data, "identity"),
                dict(data.get("fitted") or {}),
            )
        except (TypeError, ValueError) as error:
            raise InputError(f"calibration {os.fspath(path)}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, whole or not at all. Raises OSError."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        write_whole(Path(path), lambda part: part.write_text(text + "\n", encoding="utf-8"))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {
            "format": FORMAT,
            "model": self.model,
            "identity": self.identity,
            "scale": str(self.scale),
            "slope": self.slope,
            "shift": self.shift,
            "fitted": dict(self.fitted),
        }

    def check(self, scorer: Scorer) -> None:
        """Raise InputError unless it was fitted for this scorer: the same files, or the same name, and scale."""
        identity = ScorerTraits.of(scorer).identity
        if self.identity is not None and identity is not None:
            if self.identity != identity:
                same = "of the same name, but its files or options (precision, length, instruction...) are others"
                what = same if self.model == scorer.name else "another model"
                raise InputError(
                    f"this calibration was fitted for {self.model} and not for {scorer.name}, {what}: fit one with "
                    "`resift threshold --save`"
                )
        elif self.model != scorer.name:
            raise InputError(
                f"this calibration was fitted for {self.model} and not for {scorer.name}: fit one with "
                "`resift threshold --save`"
            )
        if self.scale is not scorer.scale:
            raise InputError(
                f"this calibration was fitted on {self.model}'s {self.scale} scores, and {scorer.name} gives "
                f"{scorer.scale} ones"
            )
        check_can_be_calibrated(scorer)

    def log_odds(self, scores: Iterable[float]) -> list[float]:
        """Return what scores mean as log-odds.

        >>> Calibration("m", Scale.PROBABILITY, 1.0, 0.0).log_odds([0.5])
        [0.0]
        """
        return [self.slope * value + self.shift for value in as_fitted(self.scale, scores)]


def as_fitted(scale: Scale, scores: Iterable[float]) -> list[float]:
    """Return scores as a slope and a shift are fitted on them: probabilities as log-odds, others as they are."""
    if scale is not Scale.PROBABILITY:
        return list(scores)
    return [_log_odds(score) for score in scores]


def _log_odds(probability: float) -> float:
    if not math.isfinite(probability):  # no score at all, which is an error elsewhere
        return math.nan
    inside = min(max(probability, NEAREST_TO_CERTAIN), 1 - NEAREST_TO_CERTAIN)
    return math.log(inside / (1 - inside))


def check_can_be_calibrated(scorer: Scorer) -> None:
    """Raise InputError for scores that mean something within one list only, or that come from now this model, now that.

    A calibration of one model says nothing of the one that stands in for it.
    """
    inside: Any = scorer
    while isinstance(inside, WrapperScorer) and len(inside.scorers) == 1:
        inside = inside.scorer
    if isinstance(inside, Fallback):
        raise InputError(
            f"{scorer.name} can't be calibrated: its models give different scores; calibrate each of them, as in "
            "Fallback([Calibrated(one, FILE), Calibrated(other, FILE)])"
        )
    if scorer.scale is Scale.ORDINAL:
        raise InputError(
            f"{scorer.name} can't be calibrated: its scores are {scorer.scale}, and mean nothing beside another list's"
        )


class Calibrated(WrapperScorer):
    """A scorer whose scores are log-odds of being relevant, so that `relevance` is as calibrated as resift's own.

    The order stays the model's, also where two of its scores become the same number.

    Args:
        scorer: The scorer.
        calibration: A file that `resift threshold --save` wrote, or a `Calibration`.

    Raises:
        InputError: A file that is no calibration, or one for another model or another scale.

    >>> from resift.testing import OverlapScorer
    >>> half = Calibration("overlap", Scale.PROBABILITY, slope=1.0, shift=-2.0)
    >>> list(Calibrated(OverlapScorer(), half).score("red fox", ["a red bus"]))
    [-2.0]
    """

    def __init__(self, scorer: Scorer, calibration: Calibration | str | os.PathLike[str]) -> None:
        super().__init__(check_scorer(scorer))
        if not isinstance(calibration, Calibration | str | os.PathLike):
            raise InputError(f"calibration is the path of a file, or a Calibration, not {shown(calibration)}")
        self.calibration = calibration if isinstance(calibration, Calibration) else Calibration.read(calibration)
        self.calibration.check(scorer)

    @property
    def scale(self) -> Scale:
        """Log-odds of being relevant."""
        return Scale.LOGIT

    @property
    def identity(self) -> str | None:
        """The wrapped scorer's, and the calibration's figures."""
        identity = ScorerTraits.of(self.scorer).identity
        return identity and f"{identity} calibrated {self.calibration.slope!r} {self.calibration.shift!r}"

    def _around(self, scorers: Iterable[Scorer]) -> Self:
        copy = super()._around(scorers)
        self.calibration.check(copy.scorer)  # with another instruction it is another model
        return copy

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the wrapped scorer's answers, as log-odds."""
        return [self._calibrate(answer) for answer in super().score_many(requests)]

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """Return `score`, awaited."""
        return self._calibrate(await super().ascore(query, documents))

    def _calibrate(self, answer: Scores) -> Scores:
        if answer.scale not in (None, self.calibration.scale):
            raise ScorerError(
                f"{answer.model or self.scorer.name} answered on the {answer.scale} scale, and the calibration was "
                f"fitted on {self.calibration.scale} scores of {self.calibration.model}"
            )
        order = answer.order or sorted(range(len(answer)), key=lambda index: -answer.values[index])
        return replace(
            answer, values=tuple(self.calibration.log_odds(answer.values)), order=tuple(order), scale=Scale.LOGIT
        )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} is a text, not {shown(value)}")
    return value
