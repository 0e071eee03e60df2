"""The classic cross-encoder, whatever library runs it: `[CLS] query [SEP] document [SEP]` in, one logit out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resift.engines.common.pipeline import BatchScorer, Counts, Network
from resift.errors import InputError, ModelFileError
from resift.text.tokenizer import Ids, PairTemplate, TextTokenizer

Forward = Callable[[dict[str, NDArray[np.int64]]], ArrayLike]
"""Maps `input_ids`, `attention_mask` and `token_type_ids`, each (rows, tokens), to logits, (rows,)."""
M = TypeVar("M")

NEGATION = re.compile(r"(not?|non)[ _-]|(irrelevant|unrelated|negative|false|no|contradiction)$", re.IGNORECASE)
"""A label that says "not relevant"."""
DEFAULT_POSITIONS = 512  # BERT's
MIN_PAIR_TOKENS = 16  # a smaller max_length leaves nothing for query and document
ROBERTA_MODEL_TYPES = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "roberta-prelayernorm",
    "mpnet",
    "longformer",
)


@dataclass(frozen=True, slots=True)
class PairNetwork:
    """A network that reads query and document together, in one forward pass."""

    forward: Forward
    template: PairTemplate
    max_length: int

    def max_document_tokens(self, query_tokens: int) -> int:
        """Return how many document tokens fit beside a query of `query_tokens`."""
        return self.max_length - self.template.special_token_count - query_tokens

    def count_tokens(self, query_tokens: Counts, document_tokens: Counts) -> Counts:
        """Return the tokens of each pair, (pairs,): query, document and special tokens."""
        return query_tokens + document_tokens + self.template.special_token_count

    def prepare(self, queries: Sequence[Ids]) -> BatchScorer:
        """Return the scorer for batches. Nothing is computed here: every layer reads query and document together."""

        def score_batch(rows: Sequence[tuple[int, Ids]]) -> ArrayLike:
            return self.forward(self.template.assemble([(queries[query], document) for query, document in rows]))

        return score_batch


def to_logits(output: M) -> M:
    """Return one logit per row of an array or a tensor, (rows,) or (rows, labels).

    Two labels are (not relevant, relevant): their log-odds is the difference of the two logits.
    """
    array: Any = output
    logits: M = array[:, 1] - array[:, 0] if array.ndim == 2 and array.shape[1] == 2 else array.reshape(len(array))
    return logits


def check_labels(labels: int, name: str, names: Sequence[str] = ()) -> None:
    """Raise ModelFileError for a model whose labels, of these names, are no reranker's.

    It has more than two, or the second of two says "not relevant".
    """
    if labels == 2 and len(names) == 2 and NEGATION.match(names[1]) and not NEGATION.match(names[0]):
        raise ModelFileError(
            f"{name} has the labels {names[0]} and {names[1]}, and of a reranker's two labels the second means "
            "relevant: swap them, in config.json (id2label) and in the rows of the last layer"
        )
    if labels > 2:
        from resift.models.contents import show_labels  # only to refuse a model

        what = show_labels(list(names)) if len(names) == labels else f"{labels} labels"
        raise ModelFileError(
            f"{name} has {what}: it is a classifier, not a reranker (which has 1, or 2: not relevant, relevant), and "
            "no single one of its numbers says how relevant a document is"
        )


def choose_max_length(limit: int, requested: int | None, name: str, default: int | None = None) -> int:
    """Return the tokens to read of a pair: `requested`, else `default`, else the model's `limit`.

    Raise InputError if `requested` is out of range.
    """
    if requested is None:
        return limit if default is None else min(limit, default)
    if not MIN_PAIR_TOKENS <= requested <= limit:
        raise InputError(
            f"max_length must lie between {MIN_PAIR_TOKENS} and {limit}, what {name} can read; got {requested}"
        )
    return requested


def position_limit(config: dict[str, Any]) -> int:
    """Return how many tokens a model's position table allows, from its config.json.

    RoBERTa and its relatives don't use the rows up to that of their padding token. Where the file gives no number, or
    none above 0 (as for positions without a table), 512. Raise ModelFileError for a config.json of another shape.
    """
    positions = config.get("max_position_embeddings")
    padding = config.get("pad_token_id")
    if not isinstance(positions, int | None) or not isinstance(padding, int | None):
        raise ModelFileError(
            f"config.json has max_position_embeddings={positions!r} and pad_token_id={padding!r}, where numbers "
            "belong: copy or export the model again"
        )
    if positions is None or positions < 1:
        positions = DEFAULT_POSITIONS
    offset = (padding or 0) + 1 if config.get("model_type") in ROBERTA_MODEL_TYPES else 0
    return positions - offset


def check_network(network: Network, tokenizer: TextTokenizer) -> None:
    """Raise an error unless a network scores a small batch with finite numbers. Its rows are of unequal lengths.

    One text has the tokenizer's highest id, so that a tokenizer with more tokens than the network knows is noticed.
    """
    usual = tokenizer.highest_id // 2
    query, short, long = (np.full(length, usual, np.int32) for length in (2, 1, 3))
    long[0] = tokenizer.highest_id
    logits = np.asarray(network.prepare([query])([(0, short), (0, long)]))
    if logits.shape != (2,) or not np.isfinite(logits).all():
        raise ValueError(f"it gives {logits.tolist()} for two pairs, where two finite numbers belong")
