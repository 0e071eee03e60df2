"""The classic cross-encoder, whichever library runs it: `[CLS] query [SEP] document [SEP]` in, one logit out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resift.engines.common.pipeline import BatchScorer, Counts
from resift.errors import InputError, ModelFileError
from resift.text.tokenizer import Ids, PairTemplate

Forward = Callable[[dict[str, NDArray[np.int64]]], ArrayLike]
"""`input_ids`, `attention_mask`, `token_type_ids` (rows, tokens) to logits, (rows,)."""
M = TypeVar("M")

LEAST_LENGTH = 16  # tokens of a pair; a smaller max_length leaves no room for anything
ROBERTA_KIN = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "mpnet", "longformer")


@dataclass(frozen=True, slots=True)
class PairNetwork:
    """Runs pairs through `forward`."""

    forward: Forward
    template: PairTemplate
    max_length: int

    def max_document_tokens(self, query_tokens: int) -> int:
        """Document tokens left beside the query."""
        return self.max_length - self.template.special_token_count - query_tokens

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:
        """Return the tokens of each pair, (pairs,): query, document and special tokens."""
        return query_tokens + document_tokens + self.template.special_token_count

    def prepare(self, queries: Sequence[Ids]) -> BatchScorer:
        """Nothing can be done ahead: every layer sees both."""

        def run(rows: Sequence[tuple[int, Ids]]) -> ArrayLike:
            return self.forward(self.template.assemble([(queries[owner], ids) for owner, ids in rows]))

        return run


def to_logits(output: M) -> M:
    """One logit per row of an array or a tensor. Two labels are (not relevant, relevant): their log-odds is the
    difference.
    """
    array: Any = output
    logits: M = array[:, 1] - array[:, 0] if array.ndim == 2 and array.shape[1] == 2 else array.reshape(len(array))
    return logits


def check_labels(labels: int, name: str) -> None:
    """Raises ModelFileError for a classifier with more labels than relevance has."""
    if labels > 2:
        raise ModelFileError(f"{name} has {labels} labels: it is a classifier, not a reranker (which has 1 or 2)")


def choose_max_length(limit: int, wanted: int | None, name: str, usual: int | None = None) -> int:
    """The length to use: what is wanted, else the usual one or the model's limit. Raises InputError."""
    if wanted is None:
        return limit if usual is None else min(limit, usual)
    if not LEAST_LENGTH <= wanted <= limit:
        raise InputError(f"max_length must lie between {LEAST_LENGTH} and {limit}, what {name} can read; got {wanted}")
    return wanted


def position_limit(config: dict[str, Any]) -> int:
    """Tokens a model's position table holds. RoBERTa's kin lose the rows up to their padding token's."""
    positions = int(config.get("max_position_embeddings") or 512)
    offset = int(config.get("pad_token_id") or 0) + 1 if config.get("model_type") in ROBERTA_KIN else 0
    return positions - offset
