"""Downloads the few files of a hub model that are needed to run its ONNX graph."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download

from resift.errors import ModelFileError

ONNX_FILE_PATTERNS = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.onnx*", "onnx/model.onnx*"]


def download_onnx_folder(model: str, revision: str | None, local_files_only: bool) -> Path:
    """Return the folder in the hub's cache that holds the model's graph, downloaded unless it is there.

    Raise ModelFileError if it is neither there nor can be downloaded.
    """
    try:
        return Path(
            snapshot_download(
                model, revision=revision, local_files_only=local_files_only, allow_patterns=ONNX_FILE_PATTERNS
            )
        )
    except Exception as error:  # errors of the hub, the network and the disk have no base class in common
        raise ModelFileError(f"{model} can't be had from the Hugging Face hub: {error}") from error
