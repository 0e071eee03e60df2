"""A reranker from the options of a command, and what it should tell about long texts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resift.cli._options import LongDocuments
from resift.cli._output import note
from resift.errors import TruncationWarning

if TYPE_CHECKING:
    from resift.ranking import Stats
    from resift.reranker import Reranker


def reranker(model: str | None, long_documents: LongDocuments | None) -> Reranker:
    """The reranker for `--model` and `--long-documents`."""
    from resift.reranker import Reranker

    return Reranker(model) if long_documents is None else Reranker(model, long_documents=long_documents.value)


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
