"""A wrong name is answered with the right one, and a wrong kind of argument by name, when it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import chromadb
import numpy as np
import pytest

from resift import InputError, MemoryFirstStage, Reranker, TwoStageSearch, UnknownModelError, load_scorer
from resift.chroma import ChromaFirstStage
from resift.testing import OverlapScorer, ScriptedScorer

RERANKER = Reranker(OverlapScorer())
SEARCH = TwoStageSearch(MemoryFirstStage(["a"]), RERANKER)


@pytest.mark.parametrize("wrong", ["top_n", "k", "n", "topk", "limit"])
async def test_each_other_name_of_top_k_is_answered_with_it(wrong: str) -> None:
    options: dict[str, Any] = {wrong: 3}
    with pytest.raises(InputError, match=f"no option {wrong}: did you mean top_k"):
        Reranker(**options)
    with pytest.raises(TypeError, match=f"Reranker.rank has no argument {wrong}: did you mean top_k"):
        RERANKER.rank("q", ["a"], **options)
    with pytest.raises(TypeError, match=f"Reranker.arank_many has no argument {wrong}: did you mean top_k"):
        await RERANKER.arank_many(["q"], [["a"]], **options)
    with pytest.raises(TypeError, match=f"TwoStageSearch.search has no argument {wrong}: did you mean top_k"):
        SEARCH.search("q", **options)


@pytest.mark.parametrize(
    ("wrong", "right"), [("batch_size", "batch_tokens"), ("num_threads", "threads"), ("max_lenght", "max_length")]
)
def test_a_wrong_option_of_an_engine_too(wrong: str, right: str) -> None:
    options: dict[str, Any] = {wrong: 3}
    with pytest.raises(InputError, match=f"resift:small has no option {wrong}: did you mean {right}"):
        load_scorer("resift:small", **options)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: Reranker(["resift:tiny"]), "model is a list without name, scale, score"),  # type: ignore[arg-type]
    (lambda: Reranker(3), "model is a int without name"),  # type: ignore[arg-type]
    (lambda: Reranker(RERANKER), "a Reranker already; give its scorer"),  # type: ignore[arg-type]
    (lambda: Reranker(ScriptedScorer([1.0], scale="logit")), "has scale='logit', which must be one of resift.Scale"),  # type: ignore[arg-type]
    (lambda: Reranker(OverlapScorer(), top_k=2.0), "top_k must be a whole number, got 2.0"),  # type: ignore[arg-type]
    (lambda: Reranker(OverlapScorer(), top_k=True), "top_k must be a whole number, got True"),
    (lambda: Reranker(OverlapScorer(), max_pending=0), "max_pending must be at least 1, got 0"),
    (lambda: RERANKER.rank("q", ["a"], top_k=math.nan), "top_k must be a whole number, got nan"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank("q", ["a"], top_k=math.inf), "top_k must be a whole number, got inf"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank("q", ["a"], min_relevance="0.5"), "min_relevance must be a number, got '0.5'"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank("q", ["a"], deadline=math.nan), "deadline must be more than 0 seconds, got nan"),
    (lambda: RERANKER.rank("q", 3), "documents is an int; give a list of documents"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank("q", b"a"), "documents is a bytes; give a list of documents"),
    (lambda: RERANKER.rank("q", ["a"], text="key"), "text is a function from a document to its text, not 'key'"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank("q", ["a"], top_k=-(10**5000)), "top_k must be at least 1, got an int that can't be shown"),
    (lambda: RERANKER.rank("q", ["a"], deadline=10**5000), "deadline must be a number, got an int that can't be shown"),
    (lambda: RERANKER.rank(10**5000, ["a"]), "something in it, got an int that can't be shown"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank_many(None, [["a"]]), "queries is a NoneType; give a list of queries"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank_many(["q"], 0.5), "documents is a float; give a list of lists of documents"),  # type: ignore[arg-type]
    (lambda: Reranker(OverlapScorer(), on_error=np.zeros(2)), "on_error is 'raise' or 'keep_order', not array"),  # type: ignore[arg-type]
    (lambda: Reranker("resift:tiny", cache=3), "a cache is the path of a file, not 3"),  # type: ignore[arg-type]
    (lambda: Reranker("resift:tiny", max_length="9"), "max_length must be a whole number, got '9'"),  # type: ignore[arg-type]
    (lambda: Reranker(threads=b"2"), "threads must be a whole number, got b'2'"),  # type: ignore[arg-type]
    (lambda: Reranker(batch_tokens=None), "batch_tokens must be a whole number, got None"),  # type: ignore[arg-type]
    (lambda: Reranker("cohere:m", api_key="k", timeout="1"), "timeout must be a number, got '1'"),  # type: ignore[arg-type]
    (lambda: Reranker("cohere:m", api_key="k", base_url=7), "base_url must be a text, got 7"),  # type: ignore[arg-type]
    (lambda: Reranker(states_file=7), "states_file must be a path, got 7"),  # type: ignore[arg-type]
    (lambda: RERANKER.rank_many("abc", [["a"]] * 3), "queries is one text; give a list of queries"),
    (lambda: SEARCH.search(None), "the query must be a text with something in it, got None"),  # type: ignore[arg-type]
    (lambda: SEARCH.search_many("abc"), "queries is one text; give a list of queries"),
    (lambda: TwoStageSearch(MemoryFirstStage(["a"]), candidates=0), "candidates must be at least 1, got 0"),
    (lambda: TwoStageSearch(["a"]), "first_stage is a list without retrieve"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_a_wrong_kind_of_argument_is_refused_by_name_before_anything_is_scored(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        make()


def test_a_name_too_long_for_a_file_system_is_an_unknown_model() -> None:
    with pytest.raises(UnknownModelError, match="is no folder"):
        Reranker("x" * 5000)
    with pytest.raises(UnknownModelError, match="is no folder"):
        Reranker("a\0b")
    for scheme in ("onnx", "openvino", "st", "lm", "colbert", "qwen3"):
        for name in ("x" * 5000, "a\0b"):
            with pytest.raises(UnknownModelError, match=r"can't be the name of a model|is no folder"):
                Reranker(f"{scheme}:{name}")


async def test_an_endless_deadline_is_none_and_numpys_numbers_are_numbers() -> None:
    documents = ["a whale", "a fox"]
    assert RERANKER.rank("fox", documents, deadline=math.inf, top_k=np.int64(1)).documents == ["a fox"]  # type: ignore[arg-type]
    assert (await RERANKER.arank("fox", documents, deadline=math.inf)).documents == ["a fox", "a whale"]
    coarse = np.float32(0.5)  # a clock of it is off by minutes
    assert RERANKER.rank("fox", documents, deadline=coarse, min_relevance=coarse).documents == ["a fox"]  # type: ignore[arg-type]


def test_queries_and_documents_may_be_anything_that_can_be_gone_through() -> None:
    rankings = RERANKER.rank_many(iter(["fox", "whale"]), (texts for texts in (["a whale", "a fox"],) * 2))  # type: ignore[arg-type]
    assert [ranking[0].document for ranking in rankings] == ["a fox", "a whale"]


def test_what_is_no_collection_is_refused_with_the_way_out() -> None:
    client = chromadb.EphemeralClient()
    collection = client.get_or_create_collection("arguments", embedding_function=None)
    with pytest.raises(InputError, match=r"not a collection: give client.get_collection\(name\)"):
        ChromaFirstStage(client)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"a Chroma Collection: wrap it, as in resift.chroma.ChromaFirstStage"):
        TwoStageSearch(collection)  # type: ignore[arg-type]

    class AsyncCollection:
        configuration_json = None

        async def query(self, **_: Any) -> None: ...

    with pytest.raises(InputError, match="AsyncCollection, whose query is awaited"):
        ChromaFirstStage(AsyncCollection())  # type: ignore[arg-type]
