"""Document states for passages that a collection holds already: what `resift index --keep-states` adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resift._util.progress import Progress
from resift.embedders.dense import DenseEmbedder
from resift.models.bundled import bundled_folder

if TYPE_CHECKING:
    from chromadb import Collection

TEXTS_PER_PAGE = 128  # read from the collection at once


def keep_states(collection: Collection, states_file: Path, progress: Progress | None = None) -> int:
    """Encode the passages whose states the file lacks, for `Reranker(states_file=...)`. Return the file's bytes.

    A collection that `resift:multilingual` embeds gets the states of that model.

    `progress` is called at the beginning, and after every `TEXTS_PER_PAGE` passages. States that can't be kept are a
    StatesWarning.
    """
    from resift.search.chroma import network_of  # here: what reads files needs no Chroma

    encoder = DenseEmbedder(bundled_folder(network_of(collection)), states_file=states_file)
    offset, total = 0, collection.count()
    if progress is not None:
        progress(0, total)
    while texts := collection.get(include=["documents"], limit=TEXTS_PER_PAGE, offset=offset)["documents"]:
        offset += len(texts)
        encoder.embed([text for text in texts if text])
        if progress is not None:
            progress(offset, total)
    return states_file.stat().st_size
