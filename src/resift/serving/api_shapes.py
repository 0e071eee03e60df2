"""The request and response formats of the service: those of Cohere, Jina (and vLLM), and text-embeddings-inference.

Sources: docs.cohere.com/reference/rerank, api.jina.ai/openapi.json, text-embeddings-inference 1.9
(router/src/http/types.rs). Each row of SHAPES says what a request, a response and an error look like.
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
    raise MissingExtraError("the rerank service", "serve") from error


class ErrorKind(StrEnum):
    """What can go wrong with a request; each shape has its own status and body for it."""

    INVALID = "Validation"
    EMPTY = "Empty"
    TOO_LARGE = "Too large"
    OVERLOADED = "Overloaded"
    FAILED = "Backend"
    UNAUTHORIZED = "Unauthorized"
    UNKNOWN_MODEL = "Unknown model"
    UNAVAILABLE = "Unhealthy"
    TIMEOUT = "Timeout"
    SLOW = "Slow"


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, kind: ErrorKind, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class ScoredRequest:
    """What a response is made of: the scores of a request, and the model that gave them."""

    model: str
    scale: Scale
    scores: Scores
    max_length: int | None
    """Tokens that the model reads; None: no limit."""

    @property
    def order(self) -> list[int]:
        """Indices of the documents, best first; equal scores keep their order."""
        return sorted(range(len(self.scores)), key=lambda index: -self.scores[index])

    @property
    def truncated(self) -> int:
        """The number of documents that were not read to their end."""
        return sum(span.truncated for span in self.scores.spans.values())

    def relevance(self, index: int) -> float:
        """Return the score of a document as 0 to 1, which clients of all shapes expect."""
        relevance = self.scale.relevance(self.scores[index])
        assert relevance is not None  # noqa: S101 - the service refuses a scorer without
        return relevance


class Text(BaseModel):
    """A document that is sent as an object."""

    text: str


class CohereRequest(BaseModel):
    """`POST /v2/rerank`. Unknown fields are ignored."""

    model: str | None = None
    query: str
    documents: list[str] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=1)

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return self.documents


class JinaRequest(BaseModel):
    """`POST /v1/rerank`, which Jina, vLLM and Cohere v1 have: a request of any of them is one of this."""

    model: str | None = None
    query: str
    documents: list[str | Text] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = True

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [document if isinstance(document, str) else document.text for document in self.documents]


class TeiRequest(BaseModel):
    """`POST /rerank`. With `truncate: false`, a text that is longer than the model reads is refused."""

    query: str
    texts: list[str]
    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] = "right"
    raw_scores: bool = False
    return_text: bool = False

    @property
    def model(self) -> None:
        """Always None: these requests name no model."""
        return None


def cohere_response(request: CohereRequest, result: ScoredRequest) -> dict[str, Any]:
    """Return the body of Cohere's response."""
    return {
        "id": str(uuid.uuid4()),
        "results": [
            {"index": index, "relevance_score": result.relevance(index)} for index in result.order[: request.top_n]
        ],
        "meta": _cohere_meta(result, "2"),
    }


def _cohere_meta(result: ScoredRequest, api_version: str) -> dict[str, Any]:
    warnings = [result.scores.degraded] if result.scores.degraded else []
    if result.truncated:
        warnings.append(
            f"{result.truncated} documents are longer than the model reads: only their beginning was scored"
        )
    return {
        "api_version": {"version": api_version},
        "tokens": {"input_tokens": result.scores.usage.tokens},
        **({"warnings": warnings} if warnings else {}),
    }


def jina_response(request: JinaRequest, result: ScoredRequest) -> dict[str, Any]:
    """Return the body of Jina's response, with the fields of Cohere v1's, whose clients send the same requests."""
    tokens = result.scores.usage.tokens
    texts = request.texts
    return {
        "id": str(uuid.uuid4()),
        "meta": _cohere_meta(result, "1"),
        "model": result.model,
        "object": "list",
        "usage": {"total_tokens": tokens, "prompt_tokens": tokens},
        "results": [
            {
                "index": index,
                "relevance_score": result.relevance(index),
                **({"document": {"text": texts[index]}} if request.return_documents else {}),
            }
            for index in result.order[: request.top_n]
        ],
    }


def tei_response(request: TeiRequest, result: ScoredRequest) -> list[dict[str, Any]]:
    """Return the body of text-embeddings-inference's response."""
    if request.truncate is False and result.truncated:
        limit = f"{result.max_length} tokens" if result.max_length else "the model reads"
        are = "is" if result.truncated == 1 else "are"
        raise RefusedError(
            ErrorKind.INVALID, f"{result.truncated} of the texts {are} longer than {limit}, and `truncate` is false"
        )
    return [
        {
            "index": index,
            "score": result.scores[index] if request.raw_scores else result.relevance(index),
            **({"text": request.texts[index]} if request.return_text else {}),
        }
        for index in result.order
    ]


class HasTexts(Protocol):
    """What requests of all shapes have."""

    query: str

    @property
    def model(self) -> str | None:
        """The name of the model that is asked, if the request gives one."""

    @property
    def texts(self) -> Sequence[str]:
        """The documents' texts."""


@dataclass(frozen=True, slots=True)
class ApiShape:
    """The formats of one route."""

    path: str
    about: str
    """Whose format it is."""
    request: type[BaseModel]
    response: Callable[[Any, ScoredRequest], Any]
    """Makes the body of a response."""
    error: Callable[[ErrorKind, str], Any]
    """Makes the body of an error."""
    statuses: Mapping[ErrorKind, int]
    otherwise: ApiShape | None = None
    """The shape of a request on this route that hasn't this one."""


STATUSES = {
    ErrorKind.INVALID: 400,
    ErrorKind.EMPTY: 400,
    ErrorKind.UNAUTHORIZED: 401,
    ErrorKind.UNKNOWN_MODEL: 404,
    ErrorKind.SLOW: 408,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.OVERLOADED: 429,
    ErrorKind.FAILED: 500,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.TIMEOUT: 504,
}
JINA = ApiShape(
    "/v1/rerank",
    "The format of Jina, vLLM and Cohere v1.",
    JinaRequest,
    jina_response,
    lambda _, message: {"detail": message},
    STATUSES,
)

SHAPES = (
    ApiShape(
        "/v2/rerank",
        "The format of Cohere v2.",
        CohereRequest,
        cohere_response,
        lambda _, message: {"message": message},
        STATUSES,
    ),
    JINA,
    ApiShape(
        "/rerank",
        "The format of text-embeddings-inference (`texts`), or of vLLM (`documents`).",
        TeiRequest,
        tei_response,
        lambda kind, message: {
            "error": message,
            "error_type": "Validation" if kind is ErrorKind.TOO_LARGE else str(kind),
        },
        {**STATUSES, ErrorKind.INVALID: 422, ErrorKind.FAILED: 424},
        otherwise=JINA,  # vLLM has its route here too
    ),
)
