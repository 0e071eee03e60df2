"""The postprocessor: nodes in, the same nodes in a cross-encoder's order out."""

from __future__ import annotations

import math
import pickle
from typing import Annotated, Any, ClassVar, Literal, Self

from llama_index.core.bridge.pydantic import Field, field_serializer, model_validator
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import AfterValidator, InstanceOf, PlainSerializer
from pydantic.json_schema import SkipJsonSchema

from llama_index.postprocessor.resift._component import Component
from llama_index.postprocessor.resift._events import dispatcher, reported
from resift import ApiKey, Hit, InputError, Ranking, Reranker

EngineOptions = Annotated[dict[str, Any], AfterValidator(ApiKey.hide_in), PlainSerializer(ApiKey.leave_out)]
"""Options of the engine. A key among them is hidden, and left out of what is saved."""


class ResiftRerank(Component, BaseNodePostprocessor):
    """Puts retrieved nodes in the order a cross-encoder gives them; offline with the bundled model.

    Results are new `NodeWithScore` objects around the same nodes: neither the nodes that came in nor their
    scores or metadata are touched. Nodes with equal scores keep the retriever's order. The model loads with the
    first call.

    Calls raise InputError (a ValueError: no query, an impossible option) and ScorerError (the model failed).
    With `on_error="keep_order"` the latter becomes the retriever's order with the retriever's scores, a logged
    warning, and the tag `resift.degraded` on the end event.

    >>> from llama_index.core.schema import NodeWithScore, TextNode
    >>> nodes = [NodeWithScore(node=TextNode(text=text)) for text in ["Stocks fell.", "Pandas eat bamboo."]]
    >>> [hit.text for hit in ResiftRerank(top_n=1).postprocess_nodes(nodes, query_str="what eats bamboo?")]
    ['Pandas eat bamboo.']
    """

    model: str | None = Field(
        default=None,
        frozen=True,
        description="A folder, a Hugging Face id or `scheme:name`; None is the bundled model.",
    )
    top_n: int | None = Field(default=5, ge=1, description="How many nodes to keep; None keeps all.")
    min_relevance: float | None = Field(
        default=None, ge=0, le=1, description="Keep only nodes at least this relevant, 0..1; applied before `top_n`."
    )
    deadline: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after which what is scored is ranked; the rest keeps the retriever's order behind it.",
    )
    score: Literal["relevance", "raw"] = Field(
        default="relevance",
        description=(
            "What a node's new score is: its relevance 0..1, where the model's scale has such a reading, "
            "or the model's own number (a logit for most cross-encoders)."
        ),
    )
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.EMBED, description="Which metadata is read along with a node's text."
    )
    on_error: Literal["raise", "keep_order"] = Field(
        default="raise", frozen=True, description="What a failing model means: an error, or the retriever's order."
    )
    max_pending: int = Field(default=1024, ge=1, frozen=True, description="How many calls may wait.")
    patience: int | None = Field(
        default=None,
        ge=1,
        frozen=True,
        description="Stop when so many nodes in a row brought none into the best `top_n`; None reads them all.",
    )
    cache: str | None = Field(
        default=None, frozen=True, description="A file that remembers scores, or ':memory:' for this process alone."
    )

    # The engines' options (`resift.ModelOptions`); None leaves the choice to the engine.
    long_documents: Literal["truncate", "max_window", "first_window"] | None = Field(
        default=None, frozen=True, description="How much of a long node is read: its beginning, or every window of it."
    )
    max_length: int | None = Field(
        default=None, ge=1, frozen=True, description="Tokens the model may read of query and node together."
    )
    batch_tokens: int | None = Field(
        default=None, ge=1, frozen=True, description="Tokens in one batch: bounds memory, changes no score."
    )
    threads: int | None = Field(default=None, ge=1, frozen=True, description="CPU threads of the engine.")
    keep_states: int | None = Field(
        default=None, ge=0, frozen=True, description="Bytes of node states to keep, in memory or in `states_file`."
    )
    states_file: str | None = Field(default=None, frozen=True, description="A file for them, shared by processes.")
    device: str | None = Field(default=None, frozen=True, description="Where torch runs.")
    instruction: str | None = Field(
        default=None, frozen=True, description="What makes a node relevant, for a language model that takes it."
    )
    revision: str | None = Field(default=None, frozen=True, description="Commit, tag or branch of a hub model.")
    local_files_only: bool | None = Field(default=None, frozen=True, description="Never ask the hub.")
    trust_remote_code: bool | None = Field(
        default=None, frozen=True, description="Run code that comes with the model. Off unless you say so."
    )

    engine_options: EngineOptions = Field(
        default_factory=dict,
        frozen=True,
        description=(
            "Further options of the engine (`resift.ModelOptions`): `base_url`, `api_key`, `timeout`... "
            "An `api_key` is not serialised, and can't be pickled: an environment variable does better."
        ),
    )

    reranker: SkipJsonSchema[InstanceOf[Reranker] | None] = Field(
        default=None,
        frozen=True,
        exclude=True,
        description=(
            "A reranker of your own, to share one model or to use a scorer that is no file. It brings its model's "
            "options; `top_n`, `min_relevance` and `deadline` left out, or None, are its own. Pickled, but not "
            "serialised: a dict or JSON holds its model's name."
        ),
    )

    _makes: ClassVar[type[Reranker]] = Reranker

    @classmethod
    def class_name(cls) -> str:
        """The name serialised components go by."""
        return "ResiftRerank"

    @model_validator(mode="before")
    @classmethod
    def _cuts_of_reranker(cls, data: Any) -> Any:
        """A reranker's own cuts are shown as the postprocessor's."""
        reranker = data.get("reranker") if isinstance(data, dict) else None
        if not isinstance(reranker, Reranker):
            return data
        own = {"top_n": reranker.top_k, "min_relevance": reranker.min_relevance, "deadline": reranker.deadline}
        return {**own, **data}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        declared = self._declared()
        twice = [name for name in self.engine_options if declared.get(name) is not None]
        if twice:
            raise ValueError(f"{', '.join(twice)}: given twice, once of them in engine_options")
        given = [name for name, value in declared.items() if value != ResiftRerank.model_fields[name].default]
        given += self.engine_options
        if self.reranker is not None and given:
            raise ValueError(f"{', '.join(given)}: options of the model go to Reranker(...), not beside reranker=")
        return self

    @field_serializer("model")
    def _model_name(self, model: str | None) -> str | None:
        return model if self.reranker is None else self.reranker.scorer.name

    def __getstate__(self) -> dict[str, Any]:
        # LlamaIndex drops what can't be pickled, from the object itself too. Without its reranker the postprocessor
        # would come back with another model, so here that is an error; whatever else is dropped is a copy's.
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
        with reported(self.callback_manager, query, nodes, self._kept(reranker, nodes), reranker.scorer.name) as end:
            ranking = reranker.rank(query, nodes, text=self._text, **self._cuts())
            end.nodes, end.degraded = self._results(ranking), ranking.degraded
        return end.nodes

    # The base class would send the sync method to the loop's default executor, and only decorates abstract methods.
    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        if not nodes:
            return []
        reranker = self.reranker or await self._loaded.aget()
        with reported(self.callback_manager, query, nodes, self._kept(reranker, nodes), reranker.scorer.name) as end:
            ranking = await reranker.arank(query, nodes, text=self._text, **self._cuts())
            end.nodes, end.degraded = self._results(ranking), ranking.degraded
        return end.nodes

    def _cuts(self) -> dict[str, Any]:
        return {"top_k": self.top_n, "min_relevance": self.min_relevance, "deadline": self.deadline}

    def _options(self) -> dict[str, Any]:
        """What the model is made from."""
        return {**self._declared(), **self.engine_options}

    def _declared(self) -> dict[str, Any]:
        made_once = (name for name, field in ResiftRerank.model_fields.items() if field.frozen)
        return {name: getattr(self, name) for name in made_once if name not in ("reranker", "engine_options")}

    def _kept(self, reranker: Reranker, nodes: list[NodeWithScore]) -> int:
        """At most how many nodes come back: events want a number."""
        return self.top_n or reranker.top_k or len(nodes)

    def _text(self, scored: NodeWithScore) -> str:
        return scored.node.get_content(metadata_mode=self.metadata_mode)

    def _results(self, ranking: Ranking[NodeWithScore]) -> list[NodeWithScore]:
        return [NodeWithScore(node=hit.document.node, score=self._score(hit)) for hit in ranking]

    def _score(self, hit: Hit[NodeWithScore]) -> float | None:
        if math.isnan(hit.score):  # not the model's order, so not the model's score either
            return hit.document.score
        return hit.relevance if self.score == "relevance" and hit.relevance is not None else hit.score


def _query_of(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None or not query_bundle.query_str.strip():
        raise InputError("reranking needs a query with something in it: pass query_str= or query_bundle=")
    return query_bundle.query_str
