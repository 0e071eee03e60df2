"""Measure rerankers on judged collections: with and without, side by side, with confidence. Needs `resift[eval]`."""

from resift.evaluation.collection import Collection, read_collection, read_run
from resift.evaluation.experiment import Evaluation, Report, evaluate
from resift.evaluation.measure import Comparison, compare, measure

__all__ = [
    "Collection",
    "Comparison",
    "Evaluation",
    "Report",
    "compare",
    "evaluate",
    "measure",
    "read_collection",
    "read_run",
]
