"""The model alone, for the components of LangChain that sort by themselves."""

from __future__ import annotations

import math
import os
from typing import Unpack

from langchain_core.cross_encoders import BaseCrossEncoder

from resift import ModelOptions, Reranker, Scorer


class ResiftCrossEncoder(BaseCrossEncoder):
    """A cross-encoder for `langchain_classic`'s CrossEncoderReranker and whatever else takes one.

        CrossEncoderReranker(model=ResiftCrossEncoder(), top_n=3)

    `model` and the options are `resift.Reranker`'s; `Reranker.scorer` shares a model that is loaded already.
    Raises UnknownModelError, ModelFileError, and InputError for an option the model's engine doesn't have.
    """

    def __init__(self, model: str | os.PathLike[str] | Scorer | None = None, **options: Unpack[ModelOptions]) -> None:
        self._reranker = Reranker(model, **options)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """One score per (query, text) pair, in the pairs' order, on the model's own scale: higher is better.

        All pairs are scored in one pass, those with the same query together. Raises ScorerError when the model
        fails or gives no usable score, InputError for an empty query.
        """
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(text_pairs):
            places.setdefault(query, []).append(place)
        texts = [[text_pairs[place][1] for place in asked] for asked in places.values()]
        scores = [math.nan] * len(text_pairs)
        rankings = self._reranker.rank_many(list(places), texts)
        for asked, ranking in zip(places.values(), rankings, strict=True):
            for hit in ranking:
                scores[asked[hit.index]] = hit.score
        return scores
