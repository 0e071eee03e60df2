"""What the compressor and the retriever have in common: the options, and reranking as a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Self

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    PrivateAttr,
    model_validator,
)
from typing_extensions import TypedDict  # before Python 3.12 pydantic can't read typing's

from langchain_resift._documents import copy_with_scores, get_body, get_text
from resift import InputError, Reranker
from resift.adapters import (
    OPTIONS,
    ApiKey,
    Lazy,
    LongDocuments,
    OnError,
    Recipe,
    ScoreKind,
    check_engine_options,
    check_option_names,
    check_reranker,
    lazy_of,
    merge_options,
    path_text,
    report_ranking,
    shown,
)

EVENT = "resift_rerank"

EngineOptions = Annotated[dict[str, Any], AfterValidator(ApiKey.hide_in), PlainSerializer(ApiKey.leave_out)]
"""Options of the engine. A key among them is hidden, and left out of what is saved."""

PathText = Annotated[str, BeforeValidator(path_text)]
"""A path, given as a text or as a path object, and kept as a text, which can be serialised."""


class RerankInput(TypedDict):
    """What the runnable takes. Further keys, which LCEL chains often carry along, are ignored."""

    query: str
    documents: Sequence[Document]


def _option(name: str, default: Any = None, **limits: Any) -> Any:
    return Field(default=default, description=OPTIONS[name], **limits)


class Reranking(BaseModel):
    """Which reranker, and what it is asked. The model is loaded with the first call, once."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # the input may hold a key

    _count_option: ClassVar[str]
    """The field that says how many documents to return."""

    min_relevance: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Keep only documents at least this relevant, 0..1. None: the `reranker`'s own, if it has one.",
    )
    deadline: float | None = Field(
        default=None,
        gt=0,
        description=(
            "Seconds after which what is scored is ranked; the rest follows in the order it came, all flagged "
            "`rerank_degraded`. None: the `reranker`'s own, if it has one."
        ),
    )
    score: ScoreKind = Field(
        default="relevance",
        description=(
            "What `relevance_score` is: the relevance 0..1, where the model's scale has such a reading, "
            "or `raw`, the model's own number (a logit for most cross-encoders)."
        ),
    )
    evidence: int | None = Field(
        default=None,
        ge=0,
        description=(
            "How many sentences that answer to put under `rerank_evidence` in a document's metadata, best first, each "
            "with `text`, `start` and `end` in its content, `score` and `relevance`. True is one. None: the "
            "`reranker`'s own, if it has one."
        ),
    )
    prune: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description=(
            "Keep only sentences at least this relevant, 0..1, and their headings; at least the best. What is left is "
            "the content of the copy, and `rerank_spans` in its metadata has the places in the whole content. None: "
            "the `reranker`'s own, if it has one."
        ),
    )
    metadata_keys: Sequence[str] = Field(
        default=(), description="Metadata fields to score with the text: their values, a line each, are put before it."
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
        description=(
            "Further options of the engine (`resift.ModelOptions`): `base_url`, `api_key`, `timeout`... It checks "
            "them when it is built. An `api_key` is not serialised, and can't be pickled: an environment variable does "
            "better."
        ),
    )
    reranker: InstanceOf[Reranker] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="A reranker of your own, to share one model or to use a scorer that is no file. Not serialised.",
    )

    _lazy: Lazy[Reranker] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        if isinstance(data, dict):
            check_option_names(cls.__name__, data, cls.model_fields, cls._count_option)
        return data

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        self._arguments()
        if self.reranker is not None:
            check_reranker([name for name in (*OPTIONS, "engine_options") if self._differs(name)])
        return self

    def _differs(self, name: str) -> bool:
        """Whether an option is not the default. LangChain's `configurable_fields` passes defaults, too."""
        default = type(self).model_fields[name].get_default(call_default_factory=True)
        return bool(getattr(self, name) != default)

    def load(self) -> Reranker:
        """Return the reranker, built now unless it is there: at start-up, say, to spare the first question the wait.

        Raises:
            UnknownModelError: No model has this name.
            ModelFileError: The model's files are missing or damaged.
            InputError: The model's engine doesn't have one of the options.
        """
        return self._building().get() if self.reranker is None else self.reranker

    async def aload(self) -> Reranker:
        """`load` without blocking the event loop."""
        return await self._building().aget() if self.reranker is None else self.reranker

    def _building(self) -> Lazy[Reranker]:
        return lazy_of(self, Recipe(Reranker, self._arguments()))

    def _arguments(self) -> dict[str, Any]:
        """Return what the reranker is built with. Raises InputError for engine options that belong elsewhere."""
        cls = type(self)
        own = cls.model_fields.keys() - BaseRetriever.model_fields.keys()  # not `name`, `tags` and the like
        check_engine_options(cls.__name__, self.engine_options, own, cls._count_option)
        return merge_options({name: getattr(self, name) for name in OPTIONS}, self.engine_options)

    def _step(self, top_k: int | None, instruction: str | None = None) -> Runnable[RerankInput, list[Document]]:
        """Return reranking as a Runnable: handlers see its start, its end or error, and an event with the ranking."""

        def rerank(given: RerankInput, config: RunnableConfig) -> list[Document]:
            query, documents = _read(given)
            if not documents:
                return []
            ranking = self.load().rank(query, documents, **self._limits(documents, top_k, instruction))
            dispatch_custom_event(EVENT, report_ranking(ranking), config=config)
            return copy_with_scores(ranking, self.score)

        async def arerank(given: RerankInput, config: RunnableConfig) -> list[Document]:
            query, documents = _read(given)
            if not documents:
                return []
            reranker = await self.aload()
            ranking = await reranker.arank(query, documents, **self._limits(documents, top_k, instruction))
            await adispatch_custom_event(EVENT, report_ranking(ranking), config=config)
            return copy_with_scores(ranking, self.score)

        return RunnableLambda(rerank, afunc=arerank, name="ResiftRerank").with_types(input_type=RerankInput)

    def _limits(self, documents: list[Document], top_k: int | None, instruction: str | None) -> _Limits:
        return {
            "text": partial(get_text, metadata_keys=self.metadata_keys),
            "top_k": len(documents) if top_k is None else top_k,  # None would mean the reranker's own
            "min_relevance": self.min_relevance,
            "deadline": self.deadline,
            "evidence": self.evidence,
            "prune": self.prune,
            "body": get_body,
            "instruction": instruction,
        }


class _Limits(TypedDict):
    text: Callable[[Document], str]
    top_k: int
    min_relevance: float | None
    deadline: float | None
    evidence: int | None
    prune: float | None
    body: Callable[[Document], str]
    instruction: str | None


def _read(given: RerankInput) -> tuple[str, list[Document]]:
    try:
        return given["query"], list(given["documents"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"reranking takes {{'query': str, 'documents': [Document, ...]}}, not {shown(given, 200)}"
        ) from error
