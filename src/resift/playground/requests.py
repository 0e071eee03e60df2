"""What the page sends, checked."""

from __future__ import annotations

from typing import Literal

from resift.errors import MissingExtraError
from resift.playground.code import SearchSettings

try:
    from pydantic import BaseModel, ConfigDict, Field
except ImportError as error:
    raise MissingExtraError("the playground", "playground") from error

MOST_CANDIDATES = 500
LONGEST_QUESTION = 10_000  # characters
LONGEST_ID = 10_000


class SearchRequest(BaseModel):
    """A question, and the settings of the page."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    query: str = Field(max_length=LONGEST_QUESTION)
    model: str = Field(max_length=1000)
    candidates: int = Field(default=50, ge=1, le=MOST_CANDIDATES)
    top_k: int = Field(default=5, ge=1, le=MOST_CANDIDATES)
    min_relevance: float | None = Field(default=None, ge=0, le=1)
    long_documents: Literal["max_window", "first_window", "truncate"] | None = None
    fuse: float = Field(default=0.0, ge=0, le=1)
    first_stage: Literal["hybrid", "vectors"] | None = None
    """None: the playground's own."""
    reuse: bool = False
    """Whether scores of the last search serve, where they are the same."""

    @property
    def settings(self) -> SearchSettings:
        """What is chosen."""
        return SearchSettings(
            self.model,
            self.candidates,
            self.top_k,
            self.min_relevance,
            self.long_documents,
            self.fuse,
            self.first_stage,
        )


class ExplainRequest(SearchRequest):
    """A passage whose score is to be explained."""

    id: str = Field(max_length=LONGEST_ID)
    confirmed: bool = False
    """Whether the model may be asked to score the texts that this takes."""


class MarkRequest(SearchRequest):
    """A passage that is right or wrong; null takes the mark back."""

    id: str = Field(max_length=LONGEST_ID)
    mark: Literal["right", "wrong"] | None
