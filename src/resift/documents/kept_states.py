"""Document states for passages that a collection holds already: what `resift index --keep-states` adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resift.embedders.dense import DenseEmbedder

if TYPE_CHECKING:
    from chromadb import Collection

TEXTS_PER_PAGE = 2000  # read from the collection at once


def keep_states(collection: Collection, states_file: Path) -> int:
    """Encode the passages whose states the file lacks, for `Reranker(states_file=...)`. Return the file's bytes.

    States that can't be kept are a StatesWarning.
    """
    encoder = DenseEmbedder(states_file=states_file)
    offset = 0
    while texts := collection.get(include=["documents"], limit=TEXTS_PER_PAGE, offset=offset)["documents"]:
        offset += len(texts)
        encoder.embed([text for text in texts if text])
    return states_file.stat().st_size
