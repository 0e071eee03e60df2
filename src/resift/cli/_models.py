"""A reranker from the options of a command, and its warnings as notes of the command line."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resift.cli._options import LongDocuments
from resift.cli._output import note
from resift.errors import LanguageWarning, LexicalWarning, StatesWarning, TruncationWarning

if TYPE_CHECKING:
    from resift.reranking.ranking import Stats
    from resift.reranking.reranker import Reranker
    from resift.scorer import Scorer


def reranker(
    model: str | None,
    long_documents: LongDocuments | None,
    states_file: Path | None = None,
    *,
    calibration: Path | None = None,
    instruction: str | None = None,
) -> Reranker:
    """Return the reranker for `--model`, `--long-documents`, `--calibration` and `--instruction`.

    Those for which `index --keep-states` encodes read the states from their file where there is one.
    """
    from resift.models.bundled import STATE_KEEPERS
    from resift.models.options import ModelOptions
    from resift.reranking.reranker import Reranker

    options: ModelOptions = {} if long_documents is None else {"long_documents": long_documents.value}
    if states_file is not None and states_file.is_file() and model in (None, *STATE_KEEPERS):
        options["states_file"] = states_file
    if instruction is not None:
        options["instruction"] = instruction
    return Reranker(model, calibration=calibration, **options)


@contextmanager
def note_states_warnings() -> Iterator[None]:
    """Turn warnings of kept states and of a lexical index into notes, each once; other warnings pass."""
    kinds = (StatesWarning, LexicalWarning)
    with warnings.catch_warnings(record=True) as caught:
        for kind in kinds:
            warnings.simplefilter("always", kind)
        yield
    messages = [str(warning.message) for warning in caught if issubclass(warning.category, kinds)]
    for message in dict.fromkeys(messages):
        note(message)
    for warning in caught:
        if not issubclass(warning.category, kinds):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def note_left_out() -> Iterator[None]:
    """Print as notes what the log says was left out of judged or training data."""
    logger, handler = logging.getLogger("resift.evaluation"), _Notes()
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


@contextmanager
def no_truncation_warning() -> Iterator[None]:
    """Silence warnings of what was read of the texts: `note_truncation` says it in words of the command line."""
    with warnings.catch_warnings():
        for said_as_note in (LanguageWarning, TruncationWarning):
            warnings.simplefilter("ignore", said_as_note)
        yield


def note_truncation(stats: Stats, long_documents: LongDocuments | None, passages_for: Scorer | None = None) -> None:
    """Print a note where texts were cut without `--long-documents`, and where most of them are not English.

    Args:
        stats: The ranking's.
        long_documents: What was chosen; None: nothing.
        passages_for: What scored them, where they are passages that `index` can cut for it.
    """
    from resift.reranking.languages import NOT_ENGLISH, mostly_not_english
    from resift.scorer import ScorerTraits

    if mostly_not_english(stats):
        note(NOT_ENGLISH)
    if not stats.truncated or long_documents is not None:
        return
    reads = None if passages_for is None else ScorerTraits.of(passages_for).max_length
    advice = "" if reads is None else f"; index --chunk-tokens {reads * 3 // 4} makes passages that it reads at once"
    length = "" if reads is None else f" ({reads} tokens, most often with the question)"
    are, their = ("is", "its") if stats.truncated == 1 else ("are", "their")
    note(
        f"{stats.truncated} of {stats.documents} texts {are} longer than the model reads{length}: only {their} "
        f"beginning was scored (--long-documents max_window scores all of it{advice})"
    )
