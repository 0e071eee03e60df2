"""The ranker: documents in, copies of the best ones out, in a cross-encoder's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import Secret

from resift import Hit, InputError, Ranking, Reranker
from resift.adapters import Lazy, Recipe, check_query, choose_score, merge_options, sentence_entries, show_value, shown

OWN = ("model", "top_k", "score_threshold", "meta_fields_to_embed", "meta_data_separator", "api_key")


@component
class ResiftRanker:
    """Ranks documents by how well they answer the query; offline, with the bundled model.

        pipeline.add_component("ranker", ResiftRanker(top_k=3))

    Results are copies with the same id, content and meta; `score` is the relevance, 0..1, or the model's own number
    where its scale has no such reading. Documents whose order is not the model's, since it failed and `on_error` is
    "keep_order", or a deadline ended it, have `rerank_degraded` in their meta; those without a score have the score
    None.

    Args:
        model: A folder, a Hugging Face id or `scheme:name`; None is the bundled cross-encoder.
        top_k: How many documents to return; None returns all.
        score_threshold: Return only documents at least this relevant, 0..1; applied before `top_k`.
        meta_fields_to_embed: Meta fields whose values are read with the content, a line each, before it.
        meta_data_separator: Stands between them.
        api_key: A service's key. None: its environment variable.
        options: Further options of `resift.Reranker` and the model's engine: `calibration`, `instruction`, `cache`,
            `deadline`, `on_error`, `threads`, `base_url`... With `evidence`, `meta["rerank_evidence"]` has the
            sentences that answer; with `prune`, `content` is what is left, and `meta["rerank_spans"]` its places.
        reranker: A `resift.Reranker` of your own, in the place of `model`, `api_key` and `options`. Not serialised.

    Raises:
        InputError: A number that makes no sense, one text in the place of a list, or options beside a reranker. It is a
            ValueError.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        top_k: int | None = 10,
        score_threshold: float | None = None,
        meta_fields_to_embed: Sequence[str] | None = None,
        meta_data_separator: str = "\n",
        api_key: Secret | None = None,
        options: Mapping[str, Any] | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self.model = model
        self.top_k = _check_count(top_k)
        self.score_threshold = _check_share(score_threshold)
        if isinstance(meta_fields_to_embed, str):
            raise InputError(f"meta_fields_to_embed is one text: give a list, [{meta_fields_to_embed!r}]")
        self.meta_fields_to_embed = list(meta_fields_to_embed or ())
        self.meta_data_separator = meta_data_separator
        self.api_key = api_key
        self.options = dict(options or {})
        self.reranker = reranker
        if reranker is not None and (model is not None or api_key is not None or self.options):
            raise InputError("model, api_key and options go to Reranker(...), not beside reranker=")
        if wrong := [name for name in self.options if name in OWN]:
            raise InputError(f"options has {', '.join(wrong)}: say ResiftRanker({wrong[0]}=...)")
        self._loaded: Lazy[Reranker] = Lazy(
            Recipe(_load, {"model": model, "api_key": api_key, "options": self.options})
        )

    def warm_up(self) -> None:
        """Load the model, once; the first call does it too. Raises what `resift.Reranker` raises."""
        self._loaded.get() if self.reranker is None else self.reranker

    async def warm_up_async(self) -> None:
        """`warm_up` without blocking the event loop."""
        await self._loaded.aget() if self.reranker is None else self.reranker

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        instruction: str | None = None,
    ) -> dict[str, list[Document]]:
        """Return the best documents, best first.

        Args:
            query: The question; a text with something in it.
            documents: The candidates. Equal scores keep their order.
            top_k: Another number for this call.
            score_threshold: The same.
            instruction: What makes a document relevant, in words, for a model that reads one.

        Returns:
            `documents`: the ranked copies.

        Raises:
            InputError, ScorerError, OverloadedError: As `resift.Reranker.rank`.
        """
        limits = self._limits(query, documents, top_k, score_threshold, instruction)
        reranker = self.reranker or self._loaded.get()
        return self._result(reranker.rank(query, documents, text=self._text, **limits) if documents else None)

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        instruction: str | None = None,
    ) -> dict[str, list[Document]]:
        """Do what `run` does, without blocking the event loop."""
        limits = self._limits(query, documents, top_k, score_threshold, instruction)
        reranker = self.reranker or await self._loaded.aget()
        return self._result(await reranker.arank(query, documents, text=self._text, **limits) if documents else None)

    def to_dict(self) -> dict[str, Any]:
        """Return the options. Raises InputError for a reranker of one's own, which is no data."""
        if self.reranker is not None:
            raise InputError("a ResiftRanker with a reranker of its own can't be saved: give model= and options=")
        key = None if self.api_key is None else self.api_key.to_dict()
        values = {name: getattr(self, name) for name in OWN}
        return default_to_dict(self, **{**values, "api_key": key, "options": self.options})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ResiftRanker:
        """Return the ranker that `to_dict` described."""
        return default_from_dict(cls, data)

    def _limits(
        self, query: str, documents: list[Document], top_k: int | None, threshold: float | None, instruction: str | None
    ) -> dict[str, Any]:
        check_query(query)
        count = self.top_k if top_k is None else _check_count(top_k)
        threshold = self.score_threshold if threshold is None else _check_share(threshold)
        # None would mean the reranker's own.
        return {
            "top_k": count or max(1, len(documents)),
            "min_relevance": threshold,
            "instruction": instruction,
            "body": _body,
        }

    def _text(self, document: Document) -> str:
        values = [show_value(document.meta.get(name)) for name in self.meta_fields_to_embed]
        return self.meta_data_separator.join([*filter(None, values), document.content or ""])

    def _result(self, ranking: Ranking[Document] | None) -> dict[str, list[Document]]:
        hits = () if ranking is None else ranking.hits
        flag = {"rerank_degraded": True if ranking is not None and ranking.degraded else None}
        return {"documents": [_copy(hit, flag | sentence_entries(hit)) for hit in hits]}


def _body(document: Document) -> str:
    """Return what evidence is taken from: the content alone, so that places are places there."""
    return document.content or ""


def _copy(hit: Hit[Document], entries: Mapping[str, Any]) -> Document:
    """Return a copy with its score and these entries; those of an earlier step go."""
    old, new = hit.document.meta, {key: value for key, value in entries.items() if value is not None}
    meta = {key: value for key, value in old.items() if key not in entries} | new
    content = hit.document.content if hit.pruned is None else hit.pruned.text
    return replace(hit.document, score=choose_score(hit, "relevance"), meta=meta, content=content)


def _load(model: str | None, api_key: Secret | None, options: Mapping[str, Any]) -> Reranker:
    key = None if api_key is None else api_key.resolve_value()
    return Reranker(**merge_options({"model": model, "api_key": key}, options))


def _check_count(top_k: int | None) -> int | None:
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise InputError(f"top_k must be a whole number from 1, or None for all, got {shown(top_k)}")
    return top_k


def _check_share(threshold: float | None) -> float | None:
    if threshold is not None and (isinstance(threshold, bool | str) or not 0 <= threshold <= 1):
        raise InputError(f"score_threshold must lie between 0 and 1, got {shown(threshold)}")
    return threshold
