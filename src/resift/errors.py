"""The errors, as one small tree.

ResiftError
├── InputError (ValueError)        the call makes no sense: empty query, negative top_k, a query too long for the model
├── MissingExtraError (ImportError)  an optional library is not installed; the message names the extra
├── UnknownModelError (ValueError)   no such model, folder or scheme; the message lists what there is
├── ModelFileError (OSError)       a model file is missing, damaged or not what its manifest says
├── OverloadedError (RuntimeError)   more calls are waiting than may wait
└── ScorerError (RuntimeError)     an engine failed or gave unusable scores: wrong number, NaN, infinite
    └── RemoteError                a service or server refused, can't be reached, or answered with something unusable
"""

from __future__ import annotations


class ResiftError(Exception):
    """Base of everything resift raises on purpose."""


class InputError(ResiftError, ValueError):
    """The arguments of a call make no sense together; the message says which and what would."""


class MissingExtraError(ResiftError, ImportError):
    """An optional library is needed and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.extra = extra

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install 'resift[{self.extra}]'"

    def __str__(self) -> str:
        return f"{self.args[0]} needs a library that is not installed: {self.install}"


class UnknownModelError(ResiftError, ValueError):
    """The model's name is no bundled model, no folder, no known scheme and no Hugging Face id."""


class ModelFileError(ResiftError, OSError):
    """A model folder is incomplete, damaged, or does not match its manifest."""


class OverloadedError(ResiftError, RuntimeError):
    """More calls wait than the bound allows; try again later or raise the bound."""


class ScorerError(ResiftError, RuntimeError):
    """An engine failed, or its scores can't be used; `places` holds the first-stage indexes concerned."""

    def __init__(self, message: str, *, places: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.places = places


class RemoteError(ScorerError):
    """A service refused, failed or answered with something unusable; the message has its own words.

    `status` is the HTTP status of its last answer; None where none came.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TruncationWarning(UserWarning):
    """Part of a document went unread. Shown once per call site, as Python's warnings are."""


class BatchWarning(UserWarning):
    """A model's scores depend a little on the texts that are scored with a text; said once, when it is loaded."""


class LanguageWarning(UserWarning):
    """Most of the texts are in a language that the model wasn't trained on. Shown once per call site."""


class LexicalWarning(UserWarning):
    """The lexical index is behind its collection and can't be brought up to date now; searches use it as it is."""


class StatesWarning(UserWarning):
    """Kept document states can't be read or written; they are computed, and results are the same."""
