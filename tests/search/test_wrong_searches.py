"""Arguments that make no sense are one InputError, before anything runs; so is what other processes do to Chroma."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import chromadb
import pytest
from chromadb.errors import InternalError, InvalidArgumentError, NotFoundError
from typer.testing import CliRunner

import resift.search.chroma
from resift import InputError, MemoryFirstStage, Passage, Reranker, TwoStageSearch
from resift.chroma import ChromaFirstStage, StaticEmbedding
from resift.cli.app import app
from resift.cli.search import _filter
from resift.search.collections import create_collection
from resift.testing import OverlapScorer

NAN, INFINITE = float("nan"), float("inf")
TEXTS = {"1": "a blue whale", "2": "the red fox", "3": "some green grapes"}


@pytest.fixture(scope="module")
def collection() -> Iterator[chromadb.Collection]:
    client = chromadb.EphemeralClient()
    made = client.create_collection("wrong-searches", embedding_function=StaticEmbedding())  # type: ignore[arg-type]
    made.add(ids=list(TEXTS), documents=list(TEXTS.values()), metadatas=[{"year": year} for year in (1, 2, 3)])
    yield made
    client.delete_collection("wrong-searches")


class Untouched:
    """A first stage that nothing wrong reaches."""

    def retrieve(self, query: str, k: int) -> Sequence[Passage]:
        raise AssertionError("the first stage was asked")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "exactly one operator"),
        ("year", "to be a dict"),
        ([{"year": 1}], "to be a dict"),
        ({"year": NAN}, "nan is no number that is stored"),
        ({"year": {"$gt": -INFINITE}}, "-inf is no number that is stored"),
        ({"$and": []}, "at least two where expressions"),
        ({"$and": [{"year": 1}]}, "at least two where expressions"),
        ({"$or": [{"year": 1}, {"year": NAN}]}, "nan is no number"),
        ({"$or": {}}, "to be a list"),
        ({"$not": [{"year": 1}, {"year": 2}]}, r"\$not"),
        ({"$not": {"$eq": 1}}, r"\$not is no operator of Chroma at this place"),
        ({"$year": 1}, r"\$year is no operator of Chroma at this place"),
        ({"year": {"$like": "x"}}, r"got \$like"),
        ({"year": {"$gt": "x"}}, "int or a float"),
        ({"year": {"$gt": True}}, "compares numbers"),
        ({"year": {"$gt": 1, "$lt": 3}}, "exactly one operator"),
        ({"year": {"$in": []}}, "non-empty list"),
        ({"year": {"$in": [1, "x"]}}, "same type"),
        ({"year": {"$in": [1, 2**63]}}, "64 bits"),
        ({"year": 10**30}, "64 bits"),
        ({"year": None}, "got None"),
        ({"year": b"x"}, "got b'x'"),
        ({1: 2}, "key to be a str"),
        ({"year": "x\ud835"}, "half a surrogate pair"),
        ({"year": 1, "month": 2}, "exactly one operator"),
    ],
)
def test_a_filter_that_chroma_does_not_take(collection: chromadb.Collection, where: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"^where.*{message}"):
        ChromaFirstStage(collection, where=where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "exactly one operator"),
        ("fox", "to be a dictionary"),
        ({"$contains": ""}, "non-empty"),
        ({"$contains": 1}, "to be a str"),
        ({"$has": "fox"}, r"got \$has"),
        ({"$and": []}, "at least two"),
        ({"year": 1}, "got year"),
        ({"$contains": "\ud835"}, "half a surrogate pair"),
    ],
)
def test_a_filter_of_texts_that_chroma_does_not_take(collection: Any, where: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"^where_document.*{message}"):
        ChromaFirstStage(collection, where_document=where)


def test_what_only_chroma_knows_is_an_input_error_too(collection: chromadb.Collection) -> None:
    stage = ChromaFirstStage(collection, where_document={"$regex": "("})
    with pytest.raises(InputError, match=r"'wrong-searches' can't be searched: .*Regex"):
        stage.retrieve("fox", 1)


def test_filters_that_chroma_takes_still_work(collection: chromadb.Collection) -> None:
    for where in (
        {"year": 2},
        {"year": {"$gte": 2}},
        {"$and": [{"year": {"$in": [1, 2]}}, {"$or": [{"year": 2}, {"year": -(2**63)}]}]},
        {"year": {"$ne": 1.5}},
    ):
        assert "2" in [passage.id for passage in ChromaFirstStage(collection, where=where).retrieve("red fox", 3)]


@pytest.mark.parametrize("many", [10**12, 2**32, 2**63, 10**30])
def test_numbers_beyond_what_chroma_takes_mean_all_there_are(collection: chromadb.Collection, many: int) -> None:
    stage = ChromaFirstStage(collection)
    assert stage.retrieve("red fox", many)[0].id == "2"
    search = TwoStageSearch(stage, Reranker(OverlapScorer()), candidates=many)
    assert len(search.search("red fox")) == len(search.search("red fox", top_k=many)) == 3
    memory = TwoStageSearch(MemoryFirstStage(TEXTS.values()), Reranker(OverlapScorer()), candidates=many)
    assert len(memory.search("red fox", top_k=many)) == 3


@pytest.mark.parametrize("wrong", [0, -1, 2.0, NAN, "3", True, [3]])
def test_a_number_that_makes_no_sense_never_reaches_a_first_stage(wrong: Any, collection: chromadb.Collection) -> None:
    search = TwoStageSearch(Untouched(), Reranker(OverlapScorer()))
    with pytest.raises(InputError, match="candidates must be"):
        TwoStageSearch(Untouched(), candidates=wrong)
    for attempt in (
        lambda: search.search("fox", top_k=wrong),
        lambda: asyncio.run(search.asearch("fox", top_k=wrong)),
        lambda: search.search_many(["fox"], top_k=wrong),
    ):
        with pytest.raises(InputError, match="top_k must be"):
            attempt()
    for stage in (ChromaFirstStage(collection), MemoryFirstStage(["a fox"])):
        with pytest.raises(InputError, match="k must be"):
            stage.retrieve("fox", wrong)


@pytest.mark.parametrize("wrong", [-0.1, 2, NAN, "high"])
def test_a_relevance_that_makes_no_sense_never_reaches_a_first_stage(wrong: Any) -> None:
    search = TwoStageSearch(Untouched(), Reranker(OverlapScorer()))
    for attempt in (
        lambda: search.search("fox", min_relevance=wrong),
        lambda: asyncio.run(search.asearch("fox", min_relevance=wrong)),
        lambda: search.search_many(["fox"], min_relevance=wrong),
    ):
        with pytest.raises(InputError, match="min_relevance must"):
            attempt()


@pytest.mark.parametrize("wrong", [None, 7, "fox", b"fox", ["fox", None], ["fox", " "], [["fox"]]])
def test_queries_that_are_no_list_of_texts(wrong: Any, collection: chromadb.Collection) -> None:
    search = TwoStageSearch(Untouched(), Reranker(OverlapScorer()))
    for attempt in (
        lambda: search.search_many(wrong),
        lambda: ChromaFirstStage(collection).retrieve_many(wrong, 1),
    ):
        with pytest.raises(InputError, match="quer"):
            attempt()


def test_queries_may_come_from_anything_that_can_be_read_once(collection: chromadb.Collection) -> None:
    search = TwoStageSearch(ChromaFirstStage(collection), Reranker(OverlapScorer()))
    first, second = search.search_many(query for query in ("red fox", "whale"))  # type: ignore[arg-type]
    assert (first[0].document.id, second[0].document.id) == ("2", "1")


@pytest.mark.parametrize("wrong", [None, 5, "texts", [1], [None], [{"text": "x"}], {"a": "x"}])
def test_passages_that_are_none(wrong: Any) -> None:
    with pytest.raises(InputError, match="passages"):
        MemoryFirstStage(wrong)


async def test_a_first_stage_may_yield_plain_texts() -> None:
    class Plain:
        def retrieve(self, query: str, k: int) -> Sequence[str]:
            return list(TEXTS.values())[:k]

    search = TwoStageSearch(Plain(), Reranker(OverlapScorer()))
    ranking = search.search("red fox", top_k=1)
    assert ranking[0].document == Passage("the red fox")
    assert (await search.asearch("red fox", top_k=1)).hits == ranking.hits
    assert search.search_many(["red fox"], top_k=1)[0].hits == ranking.hits


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "is None"),
        ("the red fox", "is a str"),
        ({"1": "the red fox"}, "is a dict"),
        ([("the red fox", 0.5)], "holds a tuple"),
        ([{"text": "the red fox"}], "holds a dict"),
        ([Passage(None)], "whose text is None|holds a Passage"),  # type: ignore[arg-type]
        ([3], "holds an int"),
    ],
)
async def test_a_first_stage_that_yields_something_else_is_named(found: Any, message: str) -> None:
    class Odd:
        def retrieve(self, query: str, k: int) -> Any:
            return found

    class AwaitedOdd(Odd):
        async def aretrieve(self, query: str, k: int) -> Any:
            return found

    for stage in (Odd(), AwaitedOdd()):
        search = TwoStageSearch(stage, Reranker(OverlapScorer()))
        with pytest.raises(InputError, match=rf"^what \w*Odd retrieves must be a list of resift.Passage.*({message})"):
            search.search("red fox")
        with pytest.raises(InputError, match=message):
            await search.asearch("red fox")
        with pytest.raises(InputError, match=message):
            search.search_many(["red fox"])


async def test_a_first_stage_that_is_only_awaited_serves_asearch() -> None:
    class Awaited:
        async def aretrieve(self, query: str, k: int) -> Sequence[Passage]:
            return [Passage(text, id) for id, text in TEXTS.items()]

    search = TwoStageSearch(Awaited(), Reranker(OverlapScorer()))
    assert (await search.asearch("red fox"))[0].document.id == "2"
    for attempt in (lambda: search.search("red fox"), lambda: search.search_many(["red fox"])):
        with pytest.raises(InputError, match="Awaited has aretrieve and no retrieve: search with asearch"):
            attempt()

    class Misnamed:
        async def retrieve(self, query: str, k: int) -> Sequence[Passage]:
            return []

    with pytest.raises(InputError, match="retrieve of Misnamed is a coroutine: call it aretrieve"):
        TwoStageSearch(Misnamed())  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, "fables", ["a text"], 3, MemoryFirstStage, chromadb])
def test_what_is_no_first_stage(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"^first_stage is "):
        TwoStageSearch(wrong)
    with pytest.raises(InputError, match=r"^this is an? "):
        ChromaFirstStage(wrong)


def test_an_argument_of_another_name_is_named(collection: chromadb.Collection) -> None:
    for attempt, message in (
        (
            lambda wrong: ChromaFirstStage(collection, **wrong),
            "ChromaFirstStage has no argument filter: did you mean whe",
        ),
        (lambda wrong: replace(ChromaFirstStage(collection), **wrong), "no argument filter: did you mean where"),
        (lambda wrong: TwoStageSearch(Untouched(), **wrong), "TwoStageSearch has no argument filter"),
        (lambda wrong: MemoryFirstStage(["a fox"], **wrong), "MemoryFirstStage has no argument filter"),
    ):
        with pytest.raises(InputError, match=message):
            attempt({"filter": {"year": 1}})
    stage = ChromaFirstStage(collection, {"year": 2}, None, StaticEmbedding())
    assert stage.retrieve("whale", 3)[0].id == "2"
    same = replace(stage, where={"year": 2})  # not compared whole: one of Chroma's collections isn't equal to itself
    assert (same.collection, same.where, same.embed) == (collection, stage.where, stage.embed)
    assert repr(stage).startswith("ChromaFirstStage(collection=")


def failing_reads(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> list[float]:
    """Let the next queries of any collection fail so; return the pauses between them."""
    real, pauses = chromadb.Collection.query, list[float]()

    def query(self: Any, *args: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return real(self, *args, **options)

    monkeypatch.setattr(chromadb.Collection, "query", query)
    monkeypatch.setattr(resift.search.chroma.time, "sleep", pauses.append)
    return pauses


def test_a_read_that_fails_while_another_process_writes_is_tried_again(
    collection: chromadb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = ChromaFirstStage(collection)
    nothing = InternalError("Error creating hnsw segment reader: Nothing found on disk")
    pauses = failing_reads(monkeypatch, [nothing, nothing])
    assert stage.retrieve("red fox", 1)[0].id == "2"
    assert len(pauses) == 2
    pauses = failing_reads(monkeypatch, [nothing] * 9)
    with pytest.raises(InputError, match=r"can't be searched now: .*Nothing found.* another process writes"):
        stage.retrieve("red fox", 1)
    assert 1 <= sum(pauses) <= 2
    failing_reads(monkeypatch, [InternalError("(code: 14) unable to open database file")] * 9)
    with pytest.raises(InputError, match=r"relative path and the process another current folder .* an absolute path"):
        stage.retrieve("red fox", 1)
    failing_reads(monkeypatch, [NotFoundError("Collection [7] does not exist")])
    with pytest.raises(InputError, match="no longer there: it was deleted or made anew; open it again"):
        stage.retrieve("red fox", 1)
    pauses = failing_reads(monkeypatch, [InvalidArgumentError("quota exceeded")])
    with pytest.raises(InputError, match="can't be searched: quota exceeded"):
        stage.retrieve("red fox", 1)
    assert pauses == []


def test_a_record_that_another_process_has_deleted_is_no_candidate(
    collection: chromadb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chroma's index in memory still finds it for seconds, without its text; the next nearest takes its place."""
    real = chromadb.Collection.query

    def stale(self: Any, n_results: int, **options: Any) -> Any:
        found: Any = real(self, n_results=n_results, **options)
        for key, gone in (("ids", "deleted"), ("documents", None), ("metadatas", None), ("distances", 0.0)):
            found[key] = [[gone, *column][:n_results] for column in found[key]]
        return found

    monkeypatch.setattr(chromadb.Collection, "query", stale)
    assert [passage.id for passage in ChromaFirstStage(collection).retrieve("red fox", 1)] == ["2"]
    assert len(ChromaFirstStage(collection).retrieve("red fox", 50)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--where", "x=NaN"], "--where x=NaN: NaN is no number that is stored"),
        (["--where", "x=-Infinity"], "is no number that is stored"),
        (["--where", "$and=[]"], "$and is an operator, not the name of a field"),
        (["--where", "=1"], "--where takes KEY=VALUE"),
        (["--where", "year"], "--where takes KEY=VALUE"),
    ],
)
def test_a_wrong_option_of_the_command_is_one_line(database: Any, options: list[str], message: str) -> None:
    found = CliRunner().invoke(app, ["search", "red fox", "--db", str(database), *options])
    assert (found.exit_code, found.stdout) == (1, "")
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--candidates", str(10**12)],
        ["--top-k", str(10**30)],
        ["--where", f"x={10**30}"],
        ["--where", "x=[1]"],
        ["--where", "x=" + "[" * 5000],
    ],
)
def test_a_huge_number_is_no_error(database: Any, options: list[str]) -> None:
    found = CliRunner().invoke(app, ["search", "red fox", "--db", str(database), "--json", *options])
    assert found.exit_code == 0, found.output


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("database")
    create_collection(folder, "documents", "static").add(ids=list(TEXTS), documents=list(TEXTS.values()))
    return folder


def test_a_condition_may_mean_a_number_or_a_text() -> None:
    assert _filter(['x="NaN"']) == {"$or": [{"x": '"NaN"'}, {"x": "NaN"}]}
    assert _filter([f"x={2**63}"]) == {"x": str(2**63)}, "so long a number is stored as a text"
    assert _filter(["x=true", "y=a=b"]) == {"$and": [{"$or": [{"x": "true"}, {"x": True}]}, {"y": "a=b"}]}
