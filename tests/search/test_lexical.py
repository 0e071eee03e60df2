"""The words of real Chroma collections as a first stage: in step with them, whoever writes, and under their filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromadb
import pytest
from chromadb.utils.embedding_functions import DefaultEmbeddingFunction

from resift import InputError, LexicalWarning
from resift.chroma import LexicalFirstStage, StaticEmbedding
from resift.demo import fables
from resift.lexical.index import LexicalIndex
from resift.search import in_step
from resift.search.candidates import Passage
from resift.search.collections import lock_database
from resift.search.in_step import CollectionIndex, remove_others

STORIES = [story for story in fables() if len(story.text) < 500 or story.id == "the-fox-and-the-grapes"][:80]
QUESTION = "which animal could not reach the grapes?"


def ids(stage: Any, query: str, k: int = 5) -> list[str]:
    return [passage.id for passage in stage.retrieve(query, k)]


def fill(collection: chromadb.Collection) -> chromadb.Collection:
    stories = STORIES
    collection.add(
        ids=[str(story.id) for story in stories],
        documents=[story.text for story in stories],
        metadatas=[{"short": len(story.text) < 400, "number": number} for number, story in enumerate(stories)],
    )
    return collection


def persistent(folder: Path, name: str = "fables") -> chromadb.Collection:
    client = chromadb.PersistentClient(str(folder))
    return client.get_or_create_collection(name, embedding_function=StaticEmbedding())


@pytest.fixture(params=["memory", "disk"])
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[chromadb.Collection]:
    if request.param == "disk":
        yield fill(persistent(tmp_path))
        chromadb.api.client.SharedSystemClient.clear_system_cache()
        return
    client = chromadb.EphemeralClient()
    yield fill(client.create_collection("lexical", embedding_function=StaticEmbedding()))
    client.delete_collection("lexical")


def test_passages_come_with_rank_and_score(collection: chromadb.Collection) -> None:
    passages = LexicalFirstStage(collection).retrieve(QUESTION, 3)
    assert passages[0].id == "the-fox-and-the-grapes"
    assert passages[0].metadata["short"]
    assert passages[0].similarity is None
    assert [passage.found["lexical"].rank for passage in passages] == [1, 2, 3]
    scores = [passage.found["lexical"].score or 0 for passage in passages]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_every_change_is_seen_with_the_next_query(collection: chromadb.Collection) -> None:
    stage = LexicalFirstStage(collection)
    assert ids(stage, "xylophone") == []
    collection.add(ids=["new"], documents=["a xylophone"])
    assert ids(stage, "xylophone") == ["new"]
    collection.update(ids=["new"], documents=["a trombone"])  # as many records as before
    assert ids(stage, "xylophone") == []
    assert ids(stage, "trombone") == ["new"]
    collection.delete(ids=["new"])
    collection.add(ids=["newer"], documents=["a bassoon"])
    assert ids(stage, "trombone") == []
    assert ids(stage, "bassoon") == ["newer"]
    assert stage.index.behind(exact=True) == ""


def test_filters_hold_however_few_pass(collection: chromadb.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = LexicalFirstStage(collection)
    every = ids(stage, "the fox", 1000)
    numbers = {passage.id: passage.metadata["number"] for passage in stage.retrieve("the fox", 1000)}
    last = [id for id in every if numbers[id] % 10 == 0]
    where = {"$or": [{"number": number} for number in sorted(numbers.values()) if number % 10 == 0]}
    for most in (4000, 4):  # by rounds, and then by asking for all ids that pass
        monkeypatch.setattr("resift.search.lexical.MOST_LOOKED_AT", most)
        few = stage.filtered(where=where)
        assert ids(few, "the fox", 1000) == last
        assert ids(few, "the fox", 1) == last[:1]
        assert ids(stage.filtered(where={"number": -1}), "the fox") == []
        contains = stage.filtered(where={"short": True}, where_document={"$contains": "grapes"})
        assert ids(contains, "fox") == ["the-fox-and-the-grapes"]
    assert few.index is stage.index
    with pytest.raises(InputError, match="no operator of Chroma"):
        stage.filtered(where={"$no": 1})


def test_records_without_text_are_no_passages_and_no_disorder(collection: chromadb.Collection) -> None:
    stage = LexicalFirstStage(collection)
    collection.add(ids=["bare"], embeddings=[[0.1] * len(StaticEmbedding()(["x"])[0])])
    assert "bare" not in ids(stage, "the", 1000)
    assert stage.index.behind() == ""


def test_a_collection_filled_with_chroma_s_default_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its model isn't here: another stands in for it. The lexical half embeds nothing at all."""
    instead: dict[str, Any] = {"embed": StaticEmbedding()}

    def call(self: Any, input: Any) -> Any:  # Chroma looks at the names
        return instead["embed"](input)

    monkeypatch.setattr(DefaultEmbeddingFunction, "__call__", call)
    client = chromadb.EphemeralClient()
    collection = fill(client.create_collection("by-default"))
    instead["embed"] = lambda _: pytest.fail("nothing is to be embedded")
    assert ids(LexicalFirstStage(collection), QUESTION, 1) == ["the-fox-and-the-grapes"]
    client.delete_collection("by-default")


def test_the_index_lies_beside_the_database_and_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = fill(persistent(tmp_path))
    folder = tmp_path / "lexical" / str(collection.id)
    first = LexicalFirstStage(collection)
    assert first.index.behind() == "it isn't made yet"
    assert ids(first, QUESTION, 1)
    assert LexicalIndex.is_at(folder)
    monkeypatch.setattr(LexicalIndex, "change", lambda *_: pytest.fail("nothing is to be written"))
    assert ids(LexicalFirstStage(collection), QUESTION, 1) == ["the-fox-and-the-grapes"]


def test_a_given_folder(tmp_path: Path) -> None:
    client = chromadb.EphemeralClient()
    collection = fill(client.create_collection("elsewhere", embedding_function=StaticEmbedding()))
    assert ids(LexicalFirstStage(collection, folder=tmp_path / "words"), QUESTION, 1) == ["the-fox-and-the-grapes"]
    assert LexicalIndex.is_at(tmp_path / "words")
    client.delete_collection("elsewhere")


def test_a_large_collection_is_compared_by_a_sample_and_by_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_step, "COMPARED_WHOLE", 10)
    monkeypatch.setattr(in_step, "SAMPLE", 5)
    collection = fill(persistent(tmp_path))
    index = CollectionIndex(collection)
    index.update()
    assert CollectionIndex(collection).behind() == ""
    first, last = collection.get(limit=1)["ids"], collection.get(offset=collection.count() - 1)["ids"]
    collection.update(ids=last, documents=["a trombone"])
    assert "lacks passages" in CollectionIndex(collection).behind()
    index.update()
    collection.update(ids=first, documents=["a bassoon"])
    monkeypatch.setattr("random.randrange", lambda count: count - 1)
    assert CollectionIndex(collection).behind() == ""  # nobody looked there
    assert "1 of its" in CollectionIndex(collection).behind(exact=True)
    index.mark()  # as `resift index` does
    assert "1 of its" in CollectionIndex(collection).behind()
    stage = LexicalFirstStage(collection)
    assert ids(stage, "bassoon") == first
    assert not list((tmp_path / "lexical").glob("*.behind"))


def test_a_stale_hit_has_the_index_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_step, "COMPARED_EACH_TIME", 0)  # as in a large collection without a file
    client = chromadb.EphemeralClient()
    collection = fill(client.create_collection("stale", embedding_function=StaticEmbedding()))
    stage = LexicalFirstStage(collection)
    assert ids(stage, "grapes", 1) == ["the-fox-and-the-grapes"]
    collection.update(ids=["the-fox-and-the-grapes"], documents=["a trombone"])
    assert "the-fox-and-the-grapes" not in ids(stage, "grapes")
    assert ids(stage, "trombone") == ["the-fox-and-the-grapes"]
    client.delete_collection("stale")


@pytest.mark.parametrize("how", ["cut", "no index at all", "other terms"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = fill(persistent(tmp_path))
    CollectionIndex(collection).update()
    if how == "other terms":
        monkeypatch.setattr("resift.lexical.index.TERMS_FIELD", "terms99")
    for file in (tmp_path / "lexical" / str(collection.id)).iterdir():
        if how != "other terms" and not file.name.startswith("."):
            file.write_bytes(b"" if how == "cut" else b"{}")
    assert CollectionIndex(collection).behind()
    assert ids(LexicalFirstStage(collection), QUESTION, 1) == ["the-fox-and-the-grapes"]
    assert CollectionIndex(collection).behind() == ""


def test_an_index_whose_files_go_while_it_is_open_is_made_anew(tmp_path: Path) -> None:
    collection = fill(persistent(tmp_path))
    stage = LexicalFirstStage(collection)
    stage.index.update()
    LexicalIndex.delete(tmp_path / "lexical")
    assert ids(stage, QUESTION, 1) == ["the-fox-and-the-grapes"]
    assert LexicalIndex.is_at(tmp_path / "lexical" / str(collection.id))


def test_an_index_whose_files_go_while_its_collection_changes_is_made_anew(tmp_path: Path) -> None:
    collection = fill(persistent(tmp_path))
    stage = LexicalFirstStage(collection)
    stage.index.update()
    LexicalIndex.delete(tmp_path / "lexical")
    collection.add(ids=["new"], documents=["a xylophone and grapes"])
    assert stage.index.behind()
    assert ids(stage, "xylophone") == ["new"]


def test_a_database_in_a_relative_folder_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    stage = LexicalFirstStage(fill(persistent(Path("database"))))
    assert ids(stage, QUESTION, 1) == ["the-fox-and-the-grapes"]
    monkeypatch.chdir(tmp_path / "elsewhere")  # as a daemon does
    # Only the index is asked: Chroma itself sometimes opens its files again, by the path as it was written.
    assert [hit.id for hit in stage.index.current().search(QUESTION, 1)] == ["the-fox-and-the-grapes"]
    assert stage.index.folder == tmp_path / "database" / "lexical" / str(stage.collection.id)


def test_equal_passages_come_once_each_and_none_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than an index looks at, added in another order than that of their ids."""
    monkeypatch.setattr("resift.lexical.index.MOST_TIES", 3)
    client = chromadb.EphemeralClient()
    collection = client.create_collection("equal", embedding_function=None)
    numbers = [*reversed(range(60))]
    collection.add(
        ids=[f"{number:02}" for number in numbers],
        embeddings=[[1.0]] * 60,
        documents=["all the same"] * 60,
        metadatas=[{"rare": number in (9, 10, 11, 45)} for number in numbers],
    )
    for most in (4000, 8):  # by the rounds alone, and by all ids that pass
        monkeypatch.setattr("resift.search.lexical.MOST_LOOKED_AT", most)
        found = ids(LexicalFirstStage(collection, where={"rare": True}), "same", 4)
        assert sorted(found) == ["09", "10", "11", "45"]
    client.delete_collection("equal")


def test_while_another_process_writes_nothing_is_compared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million passages that takes 15 s, and the vectors find what the words lack with every query."""
    collection = fill(persistent(tmp_path))
    stage = LexicalFirstStage(collection)
    stage.index.update()
    collection.add(ids=["new"], documents=["a xylophone and grapes"])
    with lock_database(tmp_path):
        with pytest.warns(LexicalWarning):
            stage.retrieve("grapes", 1)
        monkeypatch.setattr(CollectionIndex, "behind", None)
        assert not stage.lacks([Passage("a xylophone and grapes", "new")])
        stage.retrieve("grapes", 1)


def test_an_index_that_is_another_process_s_to_make_is_used_once_it_is_there(tmp_path: Path) -> None:
    collection = fill(persistent(tmp_path))
    stage = LexicalFirstStage(collection)
    with lock_database(tmp_path):
        with pytest.warns(LexicalWarning):
            assert ids(stage, QUESTION) == []
        CollectionIndex(collection).update(locked=True)
    stage.index._not_before = 0.0
    assert ids(stage, QUESTION, 1) == ["the-fox-and-the-grapes"]
    assert stage.index.current().folder == tmp_path / "lexical" / str(collection.id)


def test_while_another_process_writes_the_index_stays_as_it_is(tmp_path: Path) -> None:
    collection = fill(persistent(tmp_path))
    stage = LexicalFirstStage(collection)
    stage.index.update()
    collection.add(ids=["new"], documents=["a xylophone and grapes"])
    with lock_database(tmp_path):  # as `resift index` does; another thread is as good as another process
        with pytest.warns(LexicalWarning, match="newest passages of 'fables' are not searched yet: process"):
            assert ids(stage, "xylophone") == []
        with pytest.raises(InputError, match=r"process .* is writing into"):
            stage.index.update()
        assert ids(stage, "grapes", 1) == ["the-fox-and-the-grapes"]  # and no second warning
    stage.index._not_before = 0.0
    assert ids(stage, "xylophone") == ["new"]


def test_a_folder_that_cannot_be_written_has_its_index_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = fill(persistent(tmp_path))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(in_step, "lock_folder", refuse)
    stage = LexicalFirstStage(collection)
    with pytest.warns(LexicalWarning, match="is kept in memory"):
        assert ids(stage, QUESTION, 1) == ["the-fox-and-the-grapes"]
    assert not (tmp_path / "lexical").exists()


def test_the_lock_of_the_database_is_held_while_the_index_is_written(tmp_path: Path) -> None:
    collection = fill(persistent(tmp_path))
    with lock_database(tmp_path):
        assert CollectionIndex(collection).update(locked=True).added == len(STORIES)


def test_indexes_of_collections_that_are_gone_are_deleted(tmp_path: Path) -> None:
    collection = fill(persistent(tmp_path))
    CollectionIndex(collection).update()
    gone = tmp_path / "lexical" / "c0ffee"
    LexicalIndex(gone).change([("a", "b")], [])
    (tmp_path / "lexical" / "c0ffee.behind").touch()
    remove_others(tmp_path, [collection])
    assert [entry.name for entry in (tmp_path / "lexical").iterdir()] == [str(collection.id)]
    remove_others(tmp_path / "nothing", [])


def test_what_is_no_collection(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a collection"):
        LexicalFirstStage(chromadb.EphemeralClient())  # type: ignore[arg-type]
