"""Train a reranker, or distil a first stage, on data of your own. Needs torch: `pip install 'resift[train]'`."""

from __future__ import annotations

from resift.errors import MissingExtraError

try:
    # For every module of the package at once: this runs before any of them.
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import onnx  # noqa: F401
    import sentence_transformers  # noqa: F401 - brings torch, transformers and safetensors

    import resift.evaluation.bm25  # noqa: F401 - and bm25s
except ImportError as error:
    raise MissingExtraError("training a model", "train") from error

from resift.training.first_stage import DistilledFirstStage, distill_first_stage
from resift.training.pairs import TrainingPair, read_pairs
from resift.training.questions import CorpusDocument, make_pairs, read_corpus
from resift.training.recall import Recall
from resift.training.recipe import Distillation, Recipe
from resift.training.reranker import TrainedReranker, train_reranker
from resift.training.teachers import Teacher

__all__ = [
    "CorpusDocument",
    "Distillation",
    "DistilledFirstStage",
    "Recall",
    "Recipe",
    "Teacher",
    "TrainedReranker",
    "TrainingPair",
    "distill_first_stage",
    "make_pairs",
    "read_corpus",
    "read_pairs",
    "train_reranker",
]
