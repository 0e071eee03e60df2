"""The options that every adapter has: which there are, where each belongs, and what a wrong one is answered with."""

from __future__ import annotations

import inspect
import re

import pytest

from resift import InputError, ModelOptions, Reranker
from resift.adapters import (
    OPTIONS,
    check_engine_options,
    check_option_names,
    check_reranker,
    merge_options,
)

KNOWN = ["top_n", "min_relevance", "model", "threads", "engine_options"]


def test_the_list_is_the_rerankers_own_and_those_of_engines_that_run_here() -> None:
    """A new option in resift is missed here, not by a user of an adapter."""
    own = set(inspect.signature(Reranker).parameters) - {"options"}
    of_a_call = {"top_k", "min_relevance", "deadline", "evidence", "prune"}
    assert own - of_a_call <= set(OPTIONS) <= own - of_a_call | set(ModelOptions.__annotations__)
    local = {"long_documents", "max_length", "batch_tokens", "threads", "device", "revision", "local_files_only"}
    assert local <= set(OPTIONS)


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ("top_k", "say top_n="),
        ("n_results", "say top_n="),
        ("model_name", "say model="),
        ("score_threshold", "say min_relevance="),
        ("fetch_k", "the retriever's choice"),
        ("timeout", "engine_options={'timeout': ...}"),
        ("thread", "did you mean threads=?"),
        ("wheels", "it has top_n, min_relevance, model, threads, engine_options"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(wrong: str, answer: str) -> None:
    with pytest.raises(InputError, match=f"Adapter has no option {wrong}.*{re.escape(answer)}"):
        check_option_names("Adapter", [wrong], KNOWN, "top_n")


def test_right_names_pass() -> None:
    check_option_names("Adapter", KNOWN, KNOWN, "top_n")
    check_engine_options("Adapter", ["threads", "timeout", "of_a_strangers_engine"], KNOWN, "top_n")
    check_option_names("Adapter", ["threads", "of_a_strangers_engine"], ["model"], engine=True)
    check_reranker([])


def test_an_engine_has_the_last_word_on_names_that_nobody_here_knows() -> None:
    with pytest.raises(InputError, match="no option model_name: say model="):
        check_option_names("Adapter", ["model_name", "wheels"], ["model"], engine=True)


@pytest.mark.parametrize(
    ("name", "right"), [("top_k", "top_n"), ("k", "top_n"), ("top_n", "top_n"), ("model", "model")]
)
def test_engine_options_hold_options_of_the_engine_alone(name: str, right: str) -> None:
    with pytest.raises(InputError, match=rf"engine_options has {name}, .* say Adapter\({right}=\.\.\.\)"):
        check_engine_options("Adapter", ["threads", name], KNOWN, "top_n")


def test_options_merge_and_none_leaves_the_choice_to_the_engine() -> None:
    own = {"model": None, "on_error": "raise", "threads": None}
    assert merge_options(own, {"threads": 2, "timeout": 5}) == {
        "model": None,
        "on_error": "raise",
        "threads": 2,
        "timeout": 5,
    }
    with pytest.raises(InputError, match="threads: given twice"):
        merge_options({**own, "threads": 1}, {"threads": 1})


def test_options_of_a_model_dont_go_beside_a_reranker() -> None:
    with pytest.raises(InputError, match=r"model, threads: options of the model go to Reranker\(\.\.\.\)"):
        check_reranker(["model", "threads"])
