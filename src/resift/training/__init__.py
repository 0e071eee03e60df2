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
