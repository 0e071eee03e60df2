"""The Hugging Face hub: whether it can be asked, what is said where it can't, and the files that a graph needs."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

from huggingface_hub import constants, get_session, snapshot_download

from resift.errors import ModelFileError

ONNX_FILE_PATTERNS = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.onnx*", "onnx/model.onnx*"]
PATIENCE = 4.0  # seconds for a first answer of the hub; it takes some tenths of one
ANSWER_HOLDS = 30.0  # seconds in which the hub isn't asked again
_ANSWER: dict[str, tuple[float, str]] = {}
"""Endpoint → when it was asked, and why it didn't answer."""


def why_offline(local_files_only: bool = False) -> str | None:
    """Return why the hub isn't asked for a model, in words; None where it can be asked.

    The hub's library tries every file six times, with a pause before each, which is a minute and dozens of lines where
    there is no network. So the hub is asked once for anything at all, before the first file.
    """
    if local_files_only:
        return "local_files_only=True forbids to ask the hub"
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to ask the hub"
    asked, refusal = _ANSWER.get(constants.ENDPOINT, (-math.inf, ""))
    if time.monotonic() - asked > ANSWER_HOLDS:
        refusal = _ask_hub()
        _ANSWER[constants.ENDPOINT] = (time.monotonic(), refusal)
    return f"{constants.ENDPOINT} can't be reached ({refusal})" if refusal else None


def _ask_hub() -> str:
    """Return why the hub doesn't answer; "" where it does, whatever it says."""
    refusals = [f"no answer in {PATIENCE:g} seconds"]
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=PATIENCE)
            refusals.append("")
        except Exception as error:  # of whichever HTTP library the hub's library uses
            refusals.append(str(error) or type(error).__name__)
        answered.set()

    # In a thread: a name server that doesn't answer keeps no timeout.
    threading.Thread(target=ask, daemon=True, name="resift: is the hub there").start()
    answered.wait(PATIENCE)
    return refusals[-1]


def check_available(model: str, local_files_only: bool = False) -> None:
    """Raise ModelFileError for a hub model that is not in the cache, where the hub can't be asked for it."""
    offline = why_offline(local_files_only)
    if offline is not None and not is_cached(model):
        raise absent_error(model, offline)


def is_cached(model: str) -> bool:
    """Return whether the cache has any file of a hub model."""
    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "snapshots"
    return any(snapshots.glob("*/*"))


def absent_error(model: str, offline: str) -> ModelFileError:
    """Return the error for a model that is not in the cache, where the hub isn't asked for the reason `offline`."""
    return ModelFileError(
        f"{model} is no folder here and not in the cache of Hugging Face models, and {offline}: give a folder that "
        "holds the model, or a cache that has it (with local_files_only=True nobody is asked), or use resift:small, "
        "which needs no download"
    )


def download_onnx_folder(model: str, revision: str | None, local_files_only: bool) -> Path:
    """Return the folder in the hub's cache that holds the model's graph, downloaded unless it is there.

    Raise ModelFileError if it is neither there nor can be downloaded.
    """
    offline = why_offline(local_files_only)
    try:
        return Path(
            snapshot_download(
                model, revision=revision, local_files_only=offline is not None, allow_patterns=ONNX_FILE_PATTERNS
            )
        )
    except Exception as error:  # errors of the hub, the network and the disk have no base class in common
        if offline is not None and not is_cached(model):
            raise absent_error(model, offline) from error
        told = f" ({offline})" if offline is not None else ""
        raise ModelFileError(f"{model} can't be had from the Hugging Face hub{told}: {error}") from error
