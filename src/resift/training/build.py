"""The reranker before it is trained: the split network, or a plain [CLS] cross-encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from transformers.trainer_utils import set_seed

from resift.engines.hub import check_available
from resift.errors import InputError
from resift.training.mining import Embed
from resift.training.recipe import Recipe
from resift.training.split_cross_encoder import SplitPairs, exported_folder


def build(recipe: Recipe) -> CrossEncoder:
    """Return the untrained cross-encoder. What is random in it comes from the recipe's seed."""
    set_seed(recipe.seed)
    base, length = recipe.base, recipe.max_length
    if recipe.network == "split":
        pairs = SplitPairs.start(base, recipe.separate, length, frozen=recipe.frozen)
        split: CrossEncoder = CrossEncoder(modules=[pairs])
        return split
    if exported_folder(base) is not None:
        raise InputError(f"{base} is a split network; a cls one starts from a Hugging Face folder")
    if not Path(base).is_dir():
        check_available(base)
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    plain: CrossEncoder = CrossEncoder(
        base, num_labels=1, max_length=length, config_kwargs=no_dropout, local_files_only=Path(base).is_dir()
    )
    return plain


def set_lengths(model: CrossEncoder, recipe: Recipe) -> None:
    """Set how much the lengths of document and query count, where the recipe says so and the network has it."""
    first: Any = model[0]
    if not isinstance(first, SplitPairs):
        return
    with torch.no_grad():
        for weight, value in ((first.network.length, recipe.length), (first.network.brevity, recipe.brevity)):
            if value is not None:
                weight.fill_(value)


def own_embed(model: CrossEncoder) -> Embed | None:
    """Return the bi-encoder inside a split network; None for another network."""
    first: Any = model[0]
    return first.embed if isinstance(first, SplitPairs) else None
