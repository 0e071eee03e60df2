"""Folders of documents as passages in a Chroma collection: what `resift index` does, for use from Python.

from resift.documents import ingest

report = ingest(collection, ["docs/"])
"""

from __future__ import annotations

from resift.documents.ingest import IngestReport, ingest
from resift.documents.kept_states import keep_states
from resift.documents.readers import SUFFIXES, read

__all__ = ["SUFFIXES", "IngestReport", "ingest", "keep_states", "read"]
