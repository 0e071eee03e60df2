"""Arguments that are almost right: a wrong name is answered with the right one, a wrong kind of number by name."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar, cast

from resift.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

SYNONYMS = {
    "k": "top_k",
    "n": "top_k",
    "limit": "top_k",
    "num_results": "top_k",
    "top_n": "top_k",
    "topk": "top_k",
    "topn": "top_k",
    "threshold": "min_relevance",
    "min_score": "min_relevance",
    "score_threshold": "min_relevance",
    "similarity_cutoff": "min_relevance",
    "explain": "evidence",
    "highlight": "evidence",
    "highlights": "evidence",
    "highlight_only": "prune",
    "prune_threshold": "prune",
    "pruning_threshold": "prune",
    "batch_size": "batch_tokens",
    "max_tokens": "max_length",
    "max_seq_length": "max_length",
    "num_threads": "threads",
    "n_threads": "threads",
    "scorer": "model",
    "model_name": "model",
    "model_id": "model",
    "passages": "documents",
    "docs": "documents",
    "texts": "documents",
    "nodes": "documents",
    "first_stage_k": "candidates",
    "fetch_k": "candidates",
    "filter": "where",
    "filters": "where",
    "embedding_function": "embed",
    "embeddings": "embed",
}
"""Names that other rerankers and frameworks have for ours."""


def right_name(wrong: str, known: Iterable[str]) -> str | None:
    """Return the name that was probably meant, among those that are known.

    >>> right_name("top_n", ["top_k", "deadline"]), right_name("deadlin", ["top_k", "deadline"])
    ('top_k', 'deadline')
    """
    names = list(known)
    if (meant := SYNONYMS.get(wrong.lower())) is not None:
        return meant if meant in names else None  # not the name that is merely spelled alike
    import difflib  # only when a name is wrong

    return next(iter(difflib.get_close_matches(wrong, names, n=1)), None)


def did_you_mean(wrong: Iterable[str], known: Iterable[str]) -> str:
    """Return ": did you mean top_k?" for wrong names, or nothing where no known name is near."""
    names = list(known)
    meant = dict.fromkeys(name for name in (right_name(name, names) for name in wrong) if name is not None)
    return f": did you mean {', '.join(meant)}?" if meant else ""


def helps_with_names(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that the error for an unknown argument names the right one.

    It is a TypeError, as Python's own; where an object is made, an InputError, as for any other wrong option.
    """
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name != "self"]

    def check(arguments: dict[str, Any]) -> None:
        unknown = [name for name in arguments if name not in parameters]
        if unknown:
            hint = did_you_mean(unknown, known)
            message = f"{function.__qualname__.removesuffix('.__init__')} has no argument {', '.join(unknown)}{hint}"
            raise InputError(message) if function.__name__ == "__init__" else TypeError(message)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            check(kwargs)
            return await cast("Callable[P, Any]", function)(*args, **kwargs)

        return cast("Callable[P, R]", awaited)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        check(kwargs)
        return function(*args, **kwargs)

    return called


def shown(value: object, characters: int = 100) -> str:
    """Return the beginning of a value's repr, for an error message. Some have none: a number of 5,000 digits, say.

    >>> shown("top"), shown(10**5000)
    ("'top'", "an int that can't be shown")
    """
    try:
        return repr(value)[:characters]
    except Exception:  # an object of the caller's
        return f"{_with_article(type(value).__name__)} that can't be shown"


def as_list(name: str, values: Iterable[T], *, of: str, example: str) -> list[T]:
    """Return the values as a list. Raises InputError for a text, and for what can't be gone through.

    >>> as_list("documents", 3, of="documents", example="[text]")
    Traceback (most recent call last):
    resift.errors.InputError: documents is an int; give a list of documents, [text] for a single one
    """
    if not isinstance(values, str | bytes):
        try:
            going = iter(values)
        except TypeError:
            pass
        else:
            return list(going)
    kind = "one text" if isinstance(values, str) else _with_article(type(values).__name__)
    raise InputError(f"{name} is {kind}; give a list of {of}, {example} for a single one")


def check_texts(texts: Iterable[str]) -> list[str]:
    """Return the texts as a list. Raises InputError for a single text, and for what holds anything else than texts.

    >>> check_texts(("red", "blue"))
    ['red', 'blue']
    """
    listed = as_list("texts", texts, of="texts", example="[text]")
    for index, text in enumerate(listed):
        if not isinstance(text, str):
            raise InputError(f"texts[{index}] is no text, but {shown(text)}")
    return listed


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


NO_ROOM = dict.fromkeys(
    (0x00, 0xAD, 0x034F, 0x061C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
)
"""Characters that take no room: soft hyphen, zero-width ones, marks of direction, byte order mark; and NUL."""


def is_blank(text: str) -> bool:
    r"""Return whether a text has nothing to see in it.

    >>> is_blank(" \u200b\n\u202a"), is_blank(" a ")
    (True, False)
    """
    text = text.strip()
    return not text or (not text[0].isalnum() and not text.translate(NO_ROOM).strip())


def check_query(query: object) -> str:
    """Return the query. Raises InputError unless it is a text with something in it.

    A first stage must not run before this check: an embedding of nothing still has neighbours.

    >>> check_query("what eats bamboo?")
    'what eats bamboo?'
    """
    if not isinstance(query, str) or is_blank(query):
        raise InputError(f"the query must be a text with something in it, got {shown(query, 200)}")
    return query


def number(name: str, value: Any) -> float:
    """Return the value as a float. Raises InputError unless it is a number."""
    if isinstance(value, str | bytes | bool):
        raise InputError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a number, got {shown(value)}") from None


def whole_number(name: str, value: Any, minimum: int | None = None, *, unit: str = "", hint: str = "") -> int:
    """Return the value as an int. Raises InputError unless it is a whole number, and at least `minimum`."""
    advice = f"; {hint}" if hint else ""
    try:
        whole = operator.index(value)
    except TypeError:
        whole = None
    if whole is None or isinstance(value, bool):
        raise InputError(f"{name} must be a whole number, got {shown(value)}{advice}")
    if minimum is not None and whole < minimum:
        units = f" {unit if minimum == 1 else f'{unit}s'}" if unit else ""
        raise InputError(f"{name} must be at least {minimum}{units}, got {shown(value)}{advice}")
    return whole
