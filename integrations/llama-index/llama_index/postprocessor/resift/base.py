"""The postprocessor: nodes in, the same nodes in a cross-encoder's order out."""

from __future__ import annotations

import pickle
from typing import Annotated, Any, ClassVar, Self

from llama_index.core.bridge.pydantic import Field, field_serializer, model_validator
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from pydantic import AfterValidator, InstanceOf, PlainSerializer
from pydantic.json_schema import SkipJsonSchema

from llama_index.postprocessor.resift._component import Component, PathText
from llama_index.postprocessor.resift._events import dispatcher, report_events
from resift import Hit, InputError, Ranking, Reranker
from resift.adapters import (
    EVIDENCE_KEY,
    OPTIONS,
    SPANS_KEY,
    ApiKey,
    LongDocuments,
    OnError,
    Recipe,
    ScoreKind,
    check_engine_options,
    check_reranker,
    choose_score,
    merge_options,
    sentence_entries,
    show_value,
    shown,
)

EngineOptions = Annotated[dict[str, Any], AfterValidator(ApiKey.hide_in), PlainSerializer(ApiKey.leave_out)]
"""Options of the engine. A key among them is hidden, and left out of what is saved."""


def _option(name: str, default: Any = None, **limits: Any) -> Any:
    return Field(default=default, frozen=True, description=OPTIONS[name], **limits)


class ResiftRerank(Component, BaseNodePostprocessor):
    """Puts retrieved nodes in the order a cross-encoder gives them; offline with the bundled model.

    Results are new `NodeWithScore` objects around the same nodes, or around copies of them with `evidence` or `prune`:
    neither the nodes that came in nor their scores or metadata are touched. Nodes with equal scores keep the
    retriever's order. The model loads with the first call.

    Calls raise InputError (a ValueError: no query, an impossible option) and ScorerError (the model failed).
    With `on_error="keep_order"` the latter becomes the retriever's order with the retriever's scores, a logged
    warning, and the tag `resift.degraded` on the end event.

    Args:
        top_n: How many nodes to keep (5); None keeps all.
        min_relevance: Keep only nodes at least this relevant, 0..1; applied before `top_n`.
        deadline: Seconds a call may take; what is not scored by then keeps its order behind what is.
        evidence: How many sentences that answer to put under `rerank_evidence` in the metadata of a copy of the node,
            best first: each a dict of `text`, `start` and `end` (its place in the node's text), `score` and
            `relevance`. True is one. They are scored too, which costs a service or an LLM one more request.
        prune: Keep only sentences at least this relevant, 0..1, and their headings; at least the best. The copy's text
            is what is left, `rerank_spans` in its metadata the places, [start, end], in the whole text.
        score: What a node's new score is: "relevance" (0..1) or "raw" (the model's own number).
        metadata_mode: Which metadata is read along with a node's text.
        model: A folder, a Hugging Face id or `scheme:name`; None is the bundled cross-encoder.
        on_error: "raise", or "keep_order" to answer a failing model with the retriever's order.
        max_pending, patience, cache, calibration: As `resift.Reranker` has them.
        long_documents, max_length, batch_tokens, threads, keep_states, states_file, device, instruction, revision,
            local_files_only, trust_remote_code: As `resift.ModelOptions` has them. None leaves it to the engine, which
            refuses what makes no sense for it.
        engine_options: Further `resift.ModelOptions`, such as `base_url`, `api_key` and `timeout` of a service.
        reranker: A `resift.Reranker` of your own, which brings the options of its model.

    >>> from llama_index.core.schema import NodeWithScore, TextNode
    >>> nodes = [NodeWithScore(node=TextNode(text=text)) for text in ["Stocks fell.", "Pandas eat bamboo."]]
    >>> [hit.text for hit in ResiftRerank(top_n=1).postprocess_nodes(nodes, query_str="what eats bamboo?")]
    ['Pandas eat bamboo.']
    """

    top_n: int | None = Field(default=5, ge=1, description="How many nodes to keep; None keeps all.")
    min_relevance: float | None = Field(
        default=None, ge=0, le=1, description="Keep only nodes at least this relevant, 0..1; applied before `top_n`."
    )
    deadline: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after which what is scored is ranked; the rest keeps the retriever's order behind it.",
    )
    evidence: int | None = Field(
        default=None,
        ge=0,
        description=(
            "How many sentences that answer to put under `rerank_evidence` in a node's metadata, best first, each with "
            "`text`, `start` and `end` in the node's text, `score` and `relevance`. True is one. No LLM and no "
            "embedder reads them."
        ),
    )
    prune: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description=(
            "Keep only sentences at least this relevant, 0..1, and their headings; at least the best. What is left is "
            "the text of a copy of the node; `rerank_spans` in its metadata has the places in the whole text."
        ),
    )
    score: ScoreKind = Field(
        default="relevance",
        description=(
            "What a node's new score is: its relevance 0..1, where the model's scale has such a reading, "
            "or `raw`, the model's own number (a logit for most cross-encoders)."
        ),
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata is read along with a node's text."
    )

    # The same names as in every adapter of resift. None leaves the choice to the engine.
    model: PathText | None = _option("model")
    on_error: OnError = _option("on_error", "raise")
    max_pending: int = _option("max_pending", 1024, ge=1)
    patience: int | None = _option("patience", ge=1)
    cache: PathText | None = _option("cache")
    calibration: PathText | None = _option("calibration")
    long_documents: LongDocuments | None = _option("long_documents")
    max_length: int | None = _option("max_length", ge=1)
    batch_tokens: int | None = _option("batch_tokens", ge=1)
    threads: int | None = _option("threads", ge=1)
    keep_states: int | None = _option("keep_states", ge=0)
    states_file: PathText | None = _option("states_file")
    device: str | None = _option("device")
    instruction: str | None = _option("instruction")
    revision: str | None = _option("revision")
    local_files_only: bool | None = _option("local_files_only")
    trust_remote_code: bool | None = _option("trust_remote_code")

    engine_options: EngineOptions = Field(
        default_factory=dict,
        frozen=True,
        description=(
            "Further options of the engine (`resift.ModelOptions`): `base_url`, `api_key`, `timeout`... It checks "
            "them when it is built. An `api_key` is not serialised, and can't be pickled: an environment variable does "
            "better."
        ),
    )

    reranker: SkipJsonSchema[InstanceOf[Reranker] | None] = Field(
        default=None,
        frozen=True,
        exclude=True,
        description=(
            "A reranker of your own, to share one model or to use a scorer that is no file. It brings its model's "
            "options; `top_n`, `min_relevance`, `deadline`, `evidence` and `prune` left out, or None, are its own. "
            "Pickled, but not serialised: a dict or JSON holds its model's name."
        ),
    )

    _count_option: ClassVar[str] = "top_n"

    @classmethod
    def class_name(cls) -> str:
        """Return the name serialised components go by."""
        return "ResiftRerank"

    @model_validator(mode="before")
    @classmethod
    def _copy_limits_of_reranker(cls, data: Any) -> Any:
        """Show the limits of a reranker of one's own as the postprocessor's."""
        reranker = data.get("reranker") if isinstance(data, dict) else None
        if not isinstance(reranker, Reranker):
            return data
        own = {name: getattr(reranker, name) for name in ("min_relevance", "deadline", "prune")}
        own |= {"top_n": reranker.top_k, "evidence": reranker.evidence or None}
        return {**own, **data}

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        self._arguments()
        if self.reranker is not None:
            fields = type(self).model_fields
            given = [name for name in OPTIONS if getattr(self, name) != fields[name].default]
            check_reranker([*given, *self.engine_options])
        return self

    @field_serializer("model")
    def _model_name(self, model: str | None) -> str | None:
        return model if self.reranker is None else self.reranker.scorer.name

    def __getstate__(self) -> dict[str, Any]:
        # LlamaIndex drops what can't be pickled, from the object itself too. Without its reranker the postprocessor
        # would come back with another model, so here that is an error; whatever else is dropped is dropped from a copy.
        # And a key in the options is not pickled.
        pickle.dumps((self.reranker, self.engine_options))
        return super(ResiftRerank, self.model_copy()).__getstate__()

    @dispatcher.span
    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        if not nodes:
            return []
        reranker = self.reranker or self._loaded.get()
        top_n = self._count(reranker, nodes)
        with report_events(self.callback_manager, query, nodes, top_n, reranker.scorer.name) as outcome:
            ranking = reranker.rank(query, nodes, text=self._text, **self._limits())
            outcome.nodes, outcome.degraded = self._results(ranking), ranking.degraded
        return outcome.nodes

    # The base class would send the sync method to the loop's default executor, and only decorates abstract methods.
    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        if not nodes:
            return []
        reranker = self.reranker or await self._loaded.aget()
        top_n = self._count(reranker, nodes)
        with report_events(self.callback_manager, query, nodes, top_n, reranker.scorer.name) as outcome:
            ranking = await reranker.arank(query, nodes, text=self._text, **self._limits())
            outcome.nodes, outcome.degraded = self._results(ranking), ranking.degraded
        return outcome.nodes

    def _recipe(self) -> Recipe[Reranker]:
        return Recipe(Reranker, self._arguments())

    def _arguments(self) -> dict[str, Any]:
        """Return what the reranker is built with. Raises InputError for engine options that belong elsewhere."""
        cls = type(self)
        own = cls.model_fields.keys() - BaseNodePostprocessor.model_fields.keys()
        check_engine_options(cls.__name__, self.engine_options, own, cls._count_option)
        return merge_options({name: getattr(self, name) for name in OPTIONS}, self.engine_options)

    def _limits(self) -> dict[str, Any]:
        limits: dict[str, Any] = {"top_k": self.top_n, "min_relevance": self.min_relevance, "deadline": self.deadline}
        return limits | {"evidence": self.evidence, "prune": self.prune, "body": _body}

    def _count(self, reranker: Reranker, nodes: list[NodeWithScore]) -> int:
        """Return how many nodes come back at most: events want a number."""
        return self.top_n or reranker.top_k or len(nodes)

    def _text(self, scored: NodeWithScore) -> str:
        node = scored.node
        metadata = {key: value for key, value in node.metadata.items() if key not in (EVIDENCE_KEY, SPANS_KEY)}
        lists = {key: show_value(value) for key, value in metadata.items() if isinstance(value, list | tuple | set)}
        if lists or len(metadata) < len(node.metadata):  # LlamaIndex writes a list with brackets and quotes
            node = node.model_copy(update={"metadata": {**metadata, **lists}})
        return node.get_content(metadata_mode=self.metadata_mode)

    def _results(self, ranking: Ranking[NodeWithScore]) -> list[NodeWithScore]:
        return [NodeWithScore(node=_node(hit), score=self._score(hit)) for hit in ranking]

    def _score(self, hit: Hit[NodeWithScore]) -> float | None:
        score = choose_score(hit, self.score)
        return hit.document.score if score is None else score  # not the model's order, so not the model's score either


def _body(scored: NodeWithScore) -> str:
    """Return what evidence is taken from: the text alone, so that places are places there."""
    return scored.node.get_content(metadata_mode=MetadataMode.NONE)


def _node(hit: Hit[NodeWithScore]) -> BaseNode:
    """Return the node itself, or a copy with its sentences, which no LLM and no embedder reads unless asked to."""
    node = hit.document.node
    found = sentence_entries(hit)
    entries = {key: value for key, value in found.items() if value is not None}
    if not entries and not found.keys() & node.metadata.keys():
        return node
    others = {key: value for key, value in node.metadata.items() if key not in found}  # no places of an earlier step
    keys = ("excluded_llm_metadata_keys", "excluded_embed_metadata_keys")
    excluded = {key: [*dict.fromkeys([*getattr(node, key), *entries])] for key in keys}
    copy = node.model_copy(update={"metadata": {**others, **entries}, **excluded})
    if hit.pruned is not None:
        copy.set_content(hit.pruned.text)
    return copy


def _query_of(query_bundle: QueryBundle | None) -> str:
    query = None if query_bundle is None else query_bundle.query_str
    if not isinstance(query, str) or not query.strip():
        raise InputError(
            f"reranking needs a query with something in it, got {shown(query, 200)}: pass query_str= or query_bundle="
        )
    return query
