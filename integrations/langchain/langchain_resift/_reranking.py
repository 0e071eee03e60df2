"""The step that the compressor, the runnable and the retriever have in common: its options, and how it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal, Self, cast

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    PrivateAttr,
    model_validator,
)
from typing_extensions import TypedDict  # pydantic reads the other one from Python 3.12 on only

from langchain_resift._documents import report, reranked, scored_text
from resift import ApiKey, InputError, Lazy, ModelOptions, Reranker

EVENT = "resift_rerank"

EngineOptions = Annotated[dict[str, Any], AfterValidator(ApiKey.hide_in), PlainSerializer(ApiKey.leave_out)]
"""Options of the engine. A key among them is hidden, and left out of what is saved."""


class RerankInput(TypedDict):
    """What the runnable takes. Further keys, which LCEL chains often carry along, are ignored."""

    query: str
    documents: Sequence[Document]


class Reranking(BaseModel):
    """Which reranker, and what it is asked. The model is loaded with its first use, once."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # the input may hold a key

    model: str | Path | None = None
    """None for the bundled cross-encoder; a folder; a Hugging Face id; `scheme:name`."""
    min_relevance: float | None = Field(default=None, ge=0, le=1)
    """Keeps only documents at least so relevant, 0..1. None: the `reranker`'s own floor, where it has one."""
    metadata_keys: Sequence[str] = ()
    """Metadata fields to score together with the text: their values, a line each, are put in front of it."""
    on_error: Literal["raise", "keep_order"] = "raise"
    """`keep_order` answers a model's failure with the documents in the order they came, flagged `rerank_degraded`."""
    deadline: float | None = Field(default=None, gt=0)
    """Seconds after which what is scored is ranked; the rest follows in the order it came, all flagged
    `rerank_degraded`. None: the `reranker`'s own deadline, where it has one."""
    cache: str | None = None
    """A file that remembers scores, or ":memory:", as `resift.Reranker` has it."""
    long_documents: Literal["truncate", "max_window", "first_window"] | None = None
    """What to do about documents longer than the model reads, as `resift.ModelOptions` has it."""
    engine_options: EngineOptions = Field(default_factory=dict)
    """Further `resift.ModelOptions` (`threads`, `base_url`, `api_key`...). The engine checks them when it is built.
    An `api_key` is not serialised, and can't be pickled: an environment variable does better."""
    reranker: InstanceOf[Reranker] | None = Field(default=None, exclude=True, repr=False)
    """One that is built already: to share it, or to bring a scorer of your own. It is not serialised."""

    _lazy: Lazy[Reranker] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_say(self) -> Self:
        beside = [
            name for name in ("model", "on_error", "cache", "long_documents", "engine_options") if self._differs(name)
        ]
        if self.reranker is not None and beside:
            raise InputError(f"{', '.join(beside)}: say it to the reranker that was given, not beside it")
        if self.long_documents is not None and "long_documents" in self.engine_options:
            raise InputError("long_documents was given twice, once of them in engine_options")
        return self

    def _differs(self, name: str) -> bool:
        """From the default, said or not: LangChain's `configurable_fields` makes copies that say everything."""
        default = type(self).model_fields[name].get_default(call_default_factory=True)
        return bool(getattr(self, name) != default)

    def load(self) -> Reranker:
        """The reranker, built now unless it is there: at start-up, say, to spare the first question the wait.

        Raises what `resift.Reranker` does: UnknownModelError, ModelFileError, and InputError for an option that
        the model's engine doesn't have.
        """
        return self._building().get() if self.reranker is None else self.reranker

    async def aload(self) -> Reranker:
        """`load` without blocking the event loop."""
        return await self._building().aget() if self.reranker is None else self.reranker

    def _building(self) -> Lazy[Reranker]:
        long_documents = {} if self.long_documents is None else {"long_documents": self.long_documents}
        recipe = _Recipe(self.model, self.on_error, self.cache, {**self.engine_options, **long_documents})
        with _CHOOSING:
            if self._lazy is None or self._lazy.make != recipe:  # options change with model_copy(update=...)
                self._lazy = Lazy(recipe)
            return self._lazy

    def _step(self, top_k: int | None) -> Runnable[RerankInput, list[Document]]:
        """Reranking as a run of its own: handlers see its start, its end or error, and an event with the ranking."""

        def rerank(given: RerankInput, config: RunnableConfig) -> list[Document]:
            query, documents = _read(given)
            if not documents:
                return []
            ranking = self.load().rank(query, documents, **self._how(documents, top_k))
            dispatch_custom_event(EVENT, report(ranking), config=config)
            return reranked(ranking)

        async def arerank(given: RerankInput, config: RunnableConfig) -> list[Document]:
            query, documents = _read(given)
            if not documents:
                return []
            reranker = await self.aload()
            ranking = await reranker.arank(query, documents, **self._how(documents, top_k))
            await adispatch_custom_event(EVENT, report(ranking), config=config)
            return reranked(ranking)

        return RunnableLambda(rerank, afunc=arerank, name="ResiftRerank").with_types(input_type=RerankInput)

    def _how(self, documents: list[Document], top_k: int | None) -> _How:
        return {
            "text": partial(scored_text, metadata_keys=self.metadata_keys),
            "top_k": len(documents) if top_k is None else top_k,  # None would mean the reranker's own
            "min_relevance": self.min_relevance,
            "deadline": self.deadline,
        }


_CHOOSING = Lock()


class _How(TypedDict):
    text: Callable[[Document], str]
    top_k: int
    min_relevance: float | None
    deadline: float | None


@dataclass(frozen=True)
class _Recipe:
    """Builds the reranker, and says by `==` whether another one is wanted."""

    model: str | Path | None
    on_error: Literal["raise", "keep_order"]
    cache: str | None
    options: dict[str, Any]

    def __call__(self) -> Reranker:
        options = cast("ModelOptions", self.options)
        return Reranker(self.model, on_error=self.on_error, cache=self.cache, **options)


def _read(given: RerankInput) -> tuple[str, list[Document]]:
    try:
        return given["query"], list(given["documents"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"reranking takes {{'query': str, 'documents': [Document, ...]}}, not {given!r:.200}"
        ) from error
