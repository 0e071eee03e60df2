"""The model alone, for the components of LangChain that sort by themselves."""

from __future__ import annotations

import math
import os
from typing import Unpack

from langchain_core.cross_encoders import BaseCrossEncoder

from resift import ModelOptions, Reranker, Scorer, load_scorer
from resift.adapters import check_option_names


class ResiftCrossEncoder(BaseCrossEncoder):
    """A cross-encoder for `langchain_classic`'s CrossEncoderReranker and whatever else takes one.

        CrossEncoderReranker(model=ResiftCrossEncoder(), top_n=3)

    Args:
        model: What `resift.Reranker` takes: None for the bundled cross-encoder, a folder, a Hugging Face id,
            `scheme:name`, or a scorer. `Reranker.scorer` shares a model that is loaded already.
        options: Options of the engine: see `resift.ModelOptions`.

    Raises:
        UnknownModelError: No model has this name.
        ModelFileError: The model's files are missing or damaged.
        InputError: The model's engine doesn't have one of the options.
    """

    def __init__(self, model: str | os.PathLike[str] | Scorer | None = None, **options: Unpack[ModelOptions]) -> None:
        check_option_names("ResiftCrossEncoder", options, ["model"], engine=True)
        # Not Reranker(model, **options): that has options which leave pairs without a score.
        self._reranker = Reranker(load_scorer(model, **options))

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return one score per (query, text) pair, in the pairs' order, on the model's own scale: higher is better.

        All pairs are scored in one pass, those with the same query together.

        Raises:
            ScorerError: The model fails, or gives no usable score.
            InputError: A query is empty.
        """
        indices: dict[str, list[int]] = {}
        for index, (query, _) in enumerate(text_pairs):
            indices.setdefault(query, []).append(index)
        texts = [[text_pairs[index][1] for index in of_query] for of_query in indices.values()]
        scores = [math.nan] * len(text_pairs)
        rankings = self._reranker.rank_many(list(indices), texts)
        for of_query, ranking in zip(indices.values(), rankings, strict=True):
            for hit in ranking:
                scores[of_query[hit.index]] = hit.score
        return scores
