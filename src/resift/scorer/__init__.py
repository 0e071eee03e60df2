"""For authors of scorers: the whole protocol, and what goes in and comes out.

A scorer gives one number per text. Required are `name`, `scale` and `score`. Everything else is optional: see `Scorer`
for methods and `ScorerTraits` for attributes. `WrapperScorer` is the base of scorers made of other scorers.
`resift.testing.check_scorer` checks a scorer of your own.
"""

from __future__ import annotations

from resift.scorer.checks import as_scores, check_scores, entry_of, refuse_nonfinite, score_many, scorer_error
from resift.scorer.instructions import check_instruction, no_instruction, with_instruction
from resift.scorer.protocol import AsyncScorer, LongDocuments, ManyScorer, Scorer, ScorerTraits
from resift.scorer.scores import Request, Scale, Scores, Span, Usage
from resift.scorer.wrapper import ScorerBase, WrapperScorer, aclose_scorer, close_scorer

__all__ = [
    "AsyncScorer",
    "LongDocuments",
    "ManyScorer",
    "Request",
    "Scale",
    "Scorer",
    "ScorerBase",
    "ScorerTraits",
    "Scores",
    "Span",
    "Usage",
    "WrapperScorer",
    "aclose_scorer",
    "as_scores",
    "check_instruction",
    "check_scores",
    "close_scorer",
    "entry_of",
    "no_instruction",
    "refuse_nonfinite",
    "score_many",
    "scorer_error",
    "with_instruction",
]
