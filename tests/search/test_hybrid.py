"""A dense and a lexical first stage fused: order, ranks, filters, and halves of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import chromadb
import pytest

import resift.chroma
from resift import HybridFirstStage, InputError, MemoryFirstStage, Passage, Reranker, TwoStageSearch
from resift.chroma import ChromaFirstStage, LexicalFirstStage, StaticEmbedding
from resift.demo import fables
from resift.search import in_step
from resift.testing import OverlapScorer

QUESTION = "which animal could not reach the grapes?"


class Listed:
    """A first stage that always gives the same list."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids
        self.asked: list[int] = []

    def retrieve(self, query: str, k: int) -> list[Passage]:
        self.asked.append(k)
        return [Passage(f"text {id}", id, similarity=1 / rank) for rank, id in enumerate(self.ids[:k], 1)]


class Awaited(Listed):
    def __init__(self, *ids: str) -> None:
        super().__init__(*ids)
        self.given = self.retrieve
        self.retrieve = None  # type: ignore[assignment, method-assign]

    async def aretrieve(self, query: str, k: int) -> list[Passage]:
        return self.given(query, k)


def ids(passages: Any) -> list[str | None]:
    return [passage.id for passage in passages]


@pytest.fixture
def collection() -> Iterator[chromadb.Collection]:
    client = chromadb.EphemeralClient()
    collection = client.create_collection("hybrid", embedding_function=StaticEmbedding())
    stories = [story for story in fables() if len(story.text) < 500 or story.id == "the-fox-and-the-grapes"][:80]
    collection.add(
        ids=[str(story.id) for story in stories],
        documents=[story.text for story in stories],
        metadatas=[{"short": len(story.text) < 400} for story in stories],
    )
    yield collection
    client.delete_collection("hybrid")


def test_fused_by_reciprocal_rank_with_both_ranks_kept() -> None:
    stage = HybridFirstStage(Listed("a", "b", "c"), Listed("c", "d"))
    passages = stage.retrieve("q", 10)
    assert ids(passages) == ["c", "a", "b", "d"]  # b and d count the same: the dense half's first
    best = passages[0]
    assert best.fused == pytest.approx(1 / 63 + 1 / 61)
    assert {name: (found.rank, found.score) for name, found in best.found.items()} == {
        "dense": (3, pytest.approx(1 / 3)),
        "lexical": (1, 1.0),
    }
    assert passages[1].fused == pytest.approx(1 / 61)
    assert list(passages[3].found) == ["lexical"]
    assert ids(stage.retrieve("q", 2)) == ["c", "a"]


def test_weights_and_missing_halves() -> None:
    dense, lexical = Listed("a", "b"), Listed("c", "d")
    assert ids(HybridFirstStage(dense, lexical).retrieve("q", 4)) == ["a", "c", "b", "d"]
    assert ids(HybridFirstStage(dense, lexical, weights=[1, 0.5]).retrieve("q", 4)) == ["a", "b", "c", "d"]
    assert ids(HybridFirstStage(dense, lexical, weights=[1, 2]).retrieve("q", 4)) == ["c", "d", "a", "b"]
    assert ids(HybridFirstStage(dense, lexical, weights=[1, 0]).retrieve("q", 2)) == ["a", "b"]
    assert ids(HybridFirstStage(Listed(), lexical).retrieve("q", 4)) == ["c", "d"]
    assert ids(HybridFirstStage(dense, Listed()).retrieve("q", 4)) == ["a", "b"]
    assert HybridFirstStage(Listed(), Listed()).retrieve("q", 4) == []


def test_behind_its_tenth_place_the_lexical_half_counts_less() -> None:
    dense, lexical = Listed(*(f"d{n}" for n in range(1, 60))), Listed(*(f"w{n}" for n in range(1, 60)))
    ranks = [place for place in ids(HybridFirstStage(dense, lexical).retrieve("q", 50)) if str(place).startswith("w")]
    assert ranks == [f"w{n}" for n in range(1, 11)]
    plain = ids(HybridFirstStage(dense, lexical, tail=1).retrieve("q", 50))
    assert plain == [f"{half}{n}" for n in range(1, 26) for half in "dw"]
    fused = HybridFirstStage(dense, lexical, tail=0.5).retrieve("q", 118)
    assert {p.id: p.fused for p in fused}["w11"] == pytest.approx(0.5 / 71)


def test_each_half_is_asked_for_more_than_is_wanted() -> None:
    dense = Listed("a")
    HybridFirstStage(dense, Listed("b")).retrieve("q", 5)
    HybridFirstStage(dense, Listed("b")).retrieve("q", 150)
    HybridFirstStage(dense, Listed("b"), depth=7).retrieve("q", 5)
    assert dense.asked == [200, 300, 7]


def test_passages_without_ids_are_the_same_where_their_texts_are() -> None:
    stage = HybridFirstStage(MemoryFirstStage(["red fox", "blue whale"]), MemoryFirstStage(["blue whale", "red fox"]))
    passages = stage.retrieve("fox", 5)
    assert [passage.text for passage in passages] == ["red fox", "blue whale"]
    assert passages[0].found["dense"].rank == passages[0].found["lexical"].rank == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([Listed()], "Listed, which is not over a Chroma collection: give lexical too"),
        ([Listed(), "words"], "lexical|str"),
        ([Listed, Listed()], "is the class Listed"),
    ],
)
def test_what_are_no_two_halves(arguments: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        HybridFirstStage(*arguments)


@pytest.mark.parametrize(
    "options", [{"weights": [1]}, {"weights": [0, 0]}, {"weights": [-1, 1]}, {"depth": 0}, {"tail": 2}]
)
def test_impossible_options(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        HybridFirstStage(Listed(), Listed(), **options)


def test_over_a_collection(collection: chromadb.Collection) -> None:
    stage = HybridFirstStage(ChromaFirstStage(collection))
    assert stage.name == "resift:static, collection hybrid + BM25, collection hybrid"
    best = stage.retrieve(QUESTION, 5)[0]
    assert best.id == "the-fox-and-the-grapes"
    assert best.similarity == best.found["dense"].score
    assert best.found["lexical"].score is not None
    assert best.found["lexical"].score > 1
    assert ids(stage.retrieve_many([QUESTION, "wolf"], 5)[0]) == ids(stage.retrieve(QUESTION, 5))
    assert stage.retrieve_many([], 5) == []
    word = stage.retrieve("zzz grapes zzz", 50)
    assert any("lexical" not in passage.found for passage in word)


def test_filters_hold_for_both_halves(collection: chromadb.Collection) -> None:
    stage = HybridFirstStage(ChromaFirstStage(collection, where={"short": True}))
    assert all(passage.metadata["short"] for passage in stage.retrieve("the fox", 100))
    contains = stage.filtered(where_document={"$contains": "grapes"})
    assert {passage.id for passage in contains.retrieve("the lion", 100)} == set(
        collection.get(where_document={"$contains": "grapes"})["ids"]
    )
    with pytest.raises(InputError, match="different filters: where must be the same"):
        HybridFirstStage(ChromaFirstStage(collection, where={"short": True}), LexicalFirstStage(collection))
    with pytest.raises(InputError, match="only a ChromaFirstStage"):
        HybridFirstStage(Listed(), Listed()).filtered(where={"short": True})


def test_what_the_dense_half_finds_changed_has_the_index_compared(
    collection: chromadb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_step, "COMPARED_EACH_TIME", 0)  # as in a large collection without a file
    stage = HybridFirstStage(ChromaFirstStage(collection))
    stage.retrieve("fox", 5)
    collection.update(ids=["the-cock-and-the-jewel"], documents=["a trombone plays in an orchestra"])
    found = {passage.id: passage.found for passage in stage.retrieve("trombone", 5)}
    assert set(found["the-cock-and-the-jewel"]) == {"dense", "lexical"}


async def test_awaited(collection: chromadb.Collection) -> None:
    stage = HybridFirstStage(ChromaFirstStage(collection))
    assert ids(await stage.aretrieve(QUESTION, 5)) == ids(stage.retrieve(QUESTION, 5))
    awaited = HybridFirstStage(Awaited("a", "b"), Listed("b"))
    assert ids(await awaited.aretrieve("q", 5)) == ["b", "a"]
    with pytest.raises(InputError, match="search with asearch"):
        awaited.retrieve("q", 5)
    with pytest.raises(InputError):
        await stage.aretrieve(" ", 5)


async def test_two_stages(collection: chromadb.Collection) -> None:
    search = TwoStageSearch(HybridFirstStage(ChromaFirstStage(collection)), Reranker(OverlapScorer()))
    ranking = search.search(QUESTION, top_k=3)
    assert ranking[0].document.found
    assert (await search.asearch(QUESTION, top_k=3)).documents == ranking.documents
    assert search.search_many([QUESTION], top_k=3)[0].documents == ranking.documents


def test_public_names() -> None:
    assert resift.chroma.HybridFirstStage is HybridFirstStage
    assert set(resift.chroma.__all__) <= set(dir(resift.chroma)) | {"LexicalFirstStage"}
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        resift.chroma.Nothing  # noqa: B018  # reading it is the test
