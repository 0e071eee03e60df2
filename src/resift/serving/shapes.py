"""The wire shapes the service speaks, as data: Cohere v2, Jina v1, text-embeddings-inference.

Sources: docs.cohere.com/reference/rerank, api.jina.ai/openapi.json, text-embeddings-inference 1.9
(router/src/http/types.rs). Each row says what a request holds, how an answer looks and how an error does.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from resift.errors import MissingExtraError
from resift.scorer import Scale, Scores

try:
    from pydantic import BaseModel, Field
except ImportError as error:
    raise MissingExtraError("the rerank service", "scale") from error


class Kind(StrEnum):
    """What can go wrong with a request; each shape has its own status and body for it."""

    INVALID = "Validation"
    EMPTY = "Empty"
    TOO_LARGE = "Too large"
    OVERLOADED = "Overloaded"
    FAILED = "Backend"


class RefusedError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, kind: Kind, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Result:
    """What there is to answer with."""

    model: str
    scale: Scale
    scores: Scores
    max_length: int | None

    @property
    def order(self) -> list[int]:
        """Places, best first; equal scores keep their order."""
        return sorted(range(len(self.scores)), key=lambda place: -self.scores[place])

    @property
    def truncated(self) -> int:
        """Texts of which only a part was read."""
        return sum(span.truncated for span in self.scores.spans.values())

    def relevance(self, place: int) -> float:
        """The score as 0..1, which all of these shapes promise."""
        relevance = self.scale.relevance(self.scores[place])
        assert relevance is not None  # noqa: S101 - the service takes no scorer without
        return relevance


class Text(BaseModel):
    """A document as an object."""

    text: str


class CohereRequest(BaseModel):
    """`POST /v2/rerank`. `model` is not looked at: one service, one model. Unknown fields are passed over."""

    query: str
    documents: list[str] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=1)

    @property
    def texts(self) -> list[str]:
        """What is scored."""
        return self.documents


class JinaRequest(BaseModel):
    """`POST /v1/rerank`."""

    query: str
    documents: list[str | Text] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = True

    @property
    def texts(self) -> list[str]:
        """What is scored."""
        return [one if isinstance(one, str) else one.text for one in self.documents]


class TeiRequest(BaseModel):
    """`POST /rerank`. Without `truncate: false`, the end of a long text goes unread."""

    query: str
    texts: list[str]
    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] = "right"
    raw_scores: bool = False
    return_text: bool = False


def cohere(request: CohereRequest, result: Result) -> dict[str, Any]:
    """A Cohere v2 answer."""
    warnings = [f"{result.truncated} documents are longer than the model reads: only their beginning was scored"]
    return {
        "id": str(uuid.uuid4()),
        "results": [
            {"index": place, "relevance_score": result.relevance(place)} for place in result.order[: request.top_n]
        ],
        "meta": {
            "api_version": {"version": "2"},
            "tokens": {"input_tokens": result.scores.usage.tokens},
            **({"warnings": warnings} if result.truncated else {}),
        },
    }


def jina(request: JinaRequest, result: Result) -> dict[str, Any]:
    """A Jina answer."""
    tokens = result.scores.usage.tokens
    texts = request.texts
    return {
        "model": result.model,
        "object": "list",
        "usage": {"total_tokens": tokens, "prompt_tokens": tokens},
        "results": [
            {
                "index": place,
                "relevance_score": result.relevance(place),
                **({"document": {"text": texts[place]}} if request.return_documents else {}),
            }
            for place in result.order[: request.top_n]
        ],
    }


def tei(request: TeiRequest, result: Result) -> list[dict[str, Any]]:
    """A text-embeddings-inference answer."""
    if request.truncate is False and result.truncated:
        most = f" than {result.max_length} tokens" if result.max_length else " than the model reads"
        raise RefusedError(Kind.INVALID, f"{result.truncated} of the texts are longer{most}, and `truncate` is false")
    return [
        {
            "index": place,
            "score": result.scores[place] if request.raw_scores else result.relevance(place),
            **({"text": request.texts[place]} if request.return_text else {}),
        }
        for place in result.order
    ]


class HasTexts(Protocol):
    """A request of any shape."""

    query: str

    @property
    def texts(self) -> Sequence[str]:
        """What is scored."""


@dataclass(frozen=True, slots=True)
class ApiShape:
    """One wire shape: where it is asked for, and how it is read and answered."""

    path: str
    request: type[BaseModel]
    answer: Callable[[Any, Result], Any]
    error: Callable[[Kind, str], Any]
    statuses: Mapping[Kind, int]


STATUSES = {Kind.INVALID: 400, Kind.EMPTY: 400, Kind.TOO_LARGE: 413, Kind.OVERLOADED: 429, Kind.FAILED: 500}

SHAPES = (
    ApiShape("/v2/rerank", CohereRequest, cohere, lambda _, message: {"message": message}, STATUSES),
    ApiShape("/v1/rerank", JinaRequest, jina, lambda _, message: {"detail": message}, STATUSES),
    ApiShape(
        "/rerank",
        TeiRequest,
        tei,
        lambda kind, message: {"error": message, "error_type": "Validation" if kind is Kind.TOO_LARGE else str(kind)},
        {**STATUSES, Kind.INVALID: 422, Kind.FAILED: 424},
    ),
)
