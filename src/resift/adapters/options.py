"""The options that every adapter offers under the same names, and how wrong ones are answered."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from resift._util.arguments import SYNONYMS
from resift.errors import InputError
from resift.models.options import ModelOptions

OPTIONS: Mapping[str, str] = {
    "model": "The model: a folder, a Hugging Face id or `scheme:name`; None is the bundled cross-encoder.",
    "on_error": "What a failing model means: `raise` is an error, `keep_order` the order the documents came in.",
    "max_pending": "How many calls may wait for the reranker; further ones raise OverloadedError.",
    "patience": "Stop when so many documents in a row brought none into the best ones; None reads them all.",
    "cache": "A file that remembers scores, or ':memory:' for this process alone.",
    "calibration": "A file of `resift threshold --save`, which makes the model's scores log-odds of being relevant.",
    "long_documents": "What is read of a long document: its beginning, or all in windows (usual for bundled models).",
    "max_length": "Tokens the model may read of query and document together.",
    "batch_tokens": "Tokens in one batch: bounds memory, changes no score.",
    "threads": "CPU threads of the engine.",
    "keep_states": "Bytes of document states to keep, in memory or in `states_file`.",
    "states_file": "A file for document states, shared by processes.",
    "device": "Where torch runs: 'cpu', 'cuda', 'mps'...",
    "instruction": "What makes a document relevant, in words, for a model that reads one.",
    "revision": "Commit, tag or branch of a Hugging Face model.",
    "local_files_only": "Never ask the hub.",
    "trust_remote_code": "Run code that comes with the model. Off unless you say so.",
}
"""name → description of each option that goes to `resift.Reranker` when it is built. An adapter has a field for each of
them, None where the choice is left to the engine; what else an engine takes goes through `engine_options`."""

NAMES: Mapping[str, str] = {
    **SYNONYMS,
    "n_results": "top_k",
    "model_path": "model",
    "model_name_or_path": "model",
    "num_candidates": "candidates",
    "base_retriever": "first_stage",
    "vectorstore": "first_stage",
    "scorer": "reranker",  # by way of Reranker(scorer): a field can't hold it
}
"""A name that other libraries use → the one that an adapter has for the same thing. For `top_k` each has its own."""

COUNT_NAMES = frozenset({"top_k", *(name for name, meant in NAMES.items() if meant == "top_k")})
"""What frameworks and libraries call the number of documents to return."""


def check_option_names(
    owner: str, given: Iterable[object], known: Collection[str], count: str = "", *, engine: bool = False
) -> None:
    """Raise InputError for names that are no options; the message names the right ones. Values are not shown: they may
    be keys.

    Args:
        owner: The class that was called.
        given: The names of the options that were given.
        known: The names of the options that there are.
        count: Its option that says how many documents to return; "" where it has none.
        engine: Whether further options go to an engine, which has the last word: only names that are known to be
            wrong are refused here.

    >>> check_option_names("ResiftRerank", ["top_k", "modle"], ["top_n", "model"], "top_n")
    Traceback (most recent call last):
    resift.errors.InputError: ResiftRerank has no option top_k: say top_n=. It has no option modle: did you mean model=?
    """
    hints = {str(name): _right_name(str(name), known, count) for name in given if name not in known}
    if not engine:
        hints = {name: hint or _guess(name, known) for name, hint in hints.items()}
    problems = [f"no option {name}{hint}" for name, hint in hints.items() if hint]
    if problems:
        raise InputError(f"{owner} has " + ". It has ".join(problems))


def check_engine_options(owner: str, engine_options: Iterable[str], known: Collection[str], count: str) -> None:
    """Raise InputError for an option of the adapter, or of a call, among the options of the engine.

    A name that nobody here knows is left to the engine, which has the last word when it is built.

    Args:
        owner: The adapter's class.
        engine_options: The names in its `engine_options`.
        known: The names of its own options.
        count: Its option that says how many documents to return.

    >>> check_engine_options("ResiftRerank", ["top_k", "threads"], ["top_n", "threads"], "top_n")
    Traceback (most recent call last):
    resift.errors.InputError: engine_options has top_k, which is no option of an engine: say ResiftRerank(top_n=...)
    """
    for name in engine_options:
        meant = NAMES.get(name.lower(), name)
        right = count if name.lower() in COUNT_NAMES else meant if meant in known else None
        if right is not None and name not in ModelOptions.__annotations__:
            raise InputError(f"engine_options has {name}, which is no option of an engine: say {owner}({right}=...)")


def path_text(value: object) -> object:
    """Return a path as a text, which can be serialised; anything else as it is.

    >>> from pathlib import PurePosixPath as Path
    >>> path_text(Path("models") / "mine"), path_text(3)
    ('models/mine', 3)
    """
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def check_reranker(given: Collection[str]) -> None:
    """Raise InputError where options of the model were given beside a reranker that has its own.

    Args:
        given: The names of the options that differ from their defaults.
    """
    if given:
        raise InputError(f"{', '.join(given)}: options of the model go to Reranker(...), not beside reranker=")


def merge_options(own: Mapping[str, Any], engine_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `resift.Reranker`. Raises InputError for an option that was given twice.

    Args:
        own: The adapter's own options, by the names of `OPTIONS`; None leaves the choice to the engine.
        engine_options: Further options of the engine.

    >>> merge_options({"model": None, "threads": 2, "device": None}, {"timeout": 5})
    {'model': None, 'threads': 2, 'timeout': 5}
    """
    chosen = {name: value for name, value in own.items() if value is not None or name == "model"}
    twice = [name for name in engine_options if name in chosen]
    if twice:
        raise InputError(f"{', '.join(twice)}: given twice, once of them in engine_options")
    return {**chosen, **engine_options}


def _right_name(name: str, known: Collection[str], count: str) -> str:
    """Return what to say instead, for a name that is known elsewhere; "" for any other."""
    right = count if name.lower() in COUNT_NAMES and count else NAMES.get(name.lower(), name)
    if right in known:
        return f": say {right}="
    if right == "candidates":
        return ": how many candidates come in is the retriever's choice, set it there"
    if name in ModelOptions.__annotations__ and "engine_options" in known:
        return f": it goes into engine_options={{'{name}': ...}}"
    return ""


def _guess(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}=?" if close else f"; it has {', '.join(known)}"
