"""For authors of adapters to frameworks: what both adapters of this project are built from."""

from __future__ import annotations

from resift._util.arguments import check_query, shown, whole_number
from resift._util.lazy import Lazy
from resift._util.secret import ApiKey
from resift._util.worker import Worker
from resift.adapters.lazy import LazyOwner, Recipe, lazy_of
from resift.adapters.options import (
    OPTIONS,
    check_engine_options,
    check_option_names,
    check_reranker,
    merge_options,
    path_text,
)
from resift.adapters.results import (
    EVIDENCE_KEY,
    SPANS_KEY,
    ScoreKind,
    choose_score,
    report_ranking,
    sentence_entries,
    show_value,
)
from resift.embedders.embedder import Embedder
from resift.models.options import ModelOptions
from resift.reranking.ranking import ANSWERABLE, not_enough
from resift.reranking.reranker import OnError
from resift.scorer import LongDocuments
from resift.search.candidates import as_passages, check_first_stage, found_by
from resift.text.half_pairs import replace_half_pairs

__all__ = [
    "ANSWERABLE",
    "EVIDENCE_KEY",
    "OPTIONS",
    "SPANS_KEY",
    "ApiKey",
    "Embedder",
    "Lazy",
    "LazyOwner",
    "LongDocuments",
    "ModelOptions",
    "OnError",
    "Recipe",
    "ScoreKind",
    "Worker",
    "as_passages",
    "check_engine_options",
    "check_first_stage",
    "check_option_names",
    "check_query",
    "check_reranker",
    "choose_score",
    "found_by",
    "lazy_of",
    "merge_options",
    "not_enough",
    "path_text",
    "replace_half_pairs",
    "report_ranking",
    "sentence_entries",
    "show_value",
    "shown",
    "whole_number",
]
