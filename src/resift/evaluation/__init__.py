"""Measure rerankers on judged collections: with and without, side by side, with confidence. Needs `resift[eval]`."""

from resift.evaluation.calibration import fit_calibration
from resift.evaluation.collection import Collection, read_collection
from resift.evaluation.depth import DepthPoint, DepthReport, measure_depths
from resift.evaluation.experiment import Evaluation, EvaluationReport, evaluate
from resift.evaluation.fusion import fuse
from resift.evaluation.indexed import IndexedPassages, heading_questions, read_answers, read_questions
from resift.evaluation.judge import LlmJudge
from resift.evaluation.metrics import Comparison, compare, measure
from resift.evaluation.nearest import embedding_run, retrieved_run
from resift.evaluation.runs import read_run
from resift.evaluation.threshold import ThresholdReport, measure_thresholds

__all__ = [
    "Collection",
    "Comparison",
    "DepthPoint",
    "DepthReport",
    "Evaluation",
    "EvaluationReport",
    "IndexedPassages",
    "LlmJudge",
    "ThresholdReport",
    "compare",
    "embedding_run",
    "evaluate",
    "fit_calibration",
    "fuse",
    "heading_questions",
    "measure",
    "measure_depths",
    "measure_thresholds",
    "read_answers",
    "read_collection",
    "read_questions",
    "read_run",
    "retrieved_run",
]
