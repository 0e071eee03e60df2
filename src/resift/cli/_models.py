"""A reranker from the options of a command, and what it should tell about long texts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resift.cli._options import LongDocuments
from resift.cli._output import note
from resift.errors import StatesWarning, TruncationWarning

if TYPE_CHECKING:
    from resift.reranking.ranking import Stats
    from resift.reranking.reranker import Reranker


def reranker(model: str | None, long_documents: LongDocuments | None, states: Path | None = None) -> Reranker:
    """The reranker for `--model` and `--long-documents`.

    The default one, for which `index --keep-states` encodes, takes the states from their file where it is there.
    """
    from resift.models.bundled import BUNDLED
    from resift.models.options import ModelOptions
    from resift.reranking.reranker import Reranker

    options: ModelOptions = {} if long_documents is None else {"long_documents": long_documents.value}
    if states is not None and states.is_file() and model in (None, f"resift:{BUNDLED[0]}"):
        options["states_file"] = states
    return Reranker(model, **options)


@contextmanager
def note_states_warnings() -> Iterator[None]:
    """Kept states that can't be used are told in words of the command line, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StatesWarning)
        yield
    for message in dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, StatesWarning)):
        note(message)
    for one in caught:
        if not issubclass(one.category, StatesWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


@contextmanager
def no_truncation_warning() -> Iterator[None]:
    """Truncation is told by `tell_truncation`, in words of the command line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        yield


def tell_truncation(stats: Stats, long_documents: LongDocuments | None) -> None:
    """A note where texts were cut and nobody asked for that."""
    if stats.truncated and long_documents is None:
        note(
            f"{stats.truncated} of {stats.documents} texts are longer than the model reads: only their beginning was "
            "scored (--long-documents max_window scores all of it)"
        )
