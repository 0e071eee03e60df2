"""The few files of a hub model that running its ONNX graph takes."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download

from resift.errors import ModelFileError

FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.onnx*", "onnx/model.onnx*"]


def download_onnx_folder(model: str, revision: str | None, local_files_only: bool) -> Path:
    """The folder in the hub's cache that holds the model's graph, downloaded unless it is there.

    Raises ModelFileError when it is not there and can't be had.
    """
    try:
        return Path(
            snapshot_download(model, revision=revision, local_files_only=local_files_only, allow_patterns=FILES)
        )
    except Exception as error:  # the hub's errors, the network's and the disk's share no base
        raise ModelFileError(f"{model} can't be had from the Hugging Face hub: {error}") from error
