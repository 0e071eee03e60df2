"""Models into folders the `onnx` engine reads. Needs torch and onnx: `pip install 'resift[export]'`."""

from __future__ import annotations

from resift.errors import MissingExtraError

try:
    # For every module of the package at once: this runs before any of them.
    import onnx  # noqa: F401
    import sentence_transformers  # noqa: F401 - brings torch, transformers and safetensors
except ImportError as error:
    raise MissingExtraError("exporting a model", "export") from error
