"""Tokens and queries that are remembered: the same as without, bounded, and nothing that a caller could spoil."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift import load_scorer
from resift._util.lru import LRUCache
from resift.engines.split.reader import SplitNetwork
from resift.engines.tiny import _Network as TinyNetwork
from resift.models.bundled import bundled_folder
from resift.text.tokenizer import CachingTokenizer, TextTokenizer, Tokens

FILE = bundled_folder("small") / "tokenizer.json"
PLAIN = TextTokenizer.load(FILE)
WORDS = st.sampled_from(["panda", "bamboo", "Zürich", "hyperbole", "", "a b c", "stocks fell on monday " * 30])


def same(found: list[Tokens], expected: list[Tokens]) -> bool:
    return len(found) == len(expected) and all(
        np.array_equal(one.ids, other.ids) and np.array_equal(one.offsets, other.offsets)
        for one, other in zip(found, expected, strict=True)
    )


@given(st.lists(st.tuples(st.lists(WORDS, max_size=6), st.sampled_from([None, 3, 20])), max_size=6), st.integers(0, 9))
def test_they_are_what_the_tokenizer_says_however_little_is_remembered(
    calls: list[tuple[list[str], int | None]], room: int
) -> None:
    tokenizer = CachingTokenizer.load(FILE)
    tokenizer.recent.limit = 700 * room
    for texts, enough in calls:
        assert same(tokenizer.encode(texts, enough), PLAIN.encode(texts, enough))
        assert tokenizer.recent.held <= tokenizer.recent.limit


def test_a_text_that_comes_again_is_not_tokenised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = CachingTokenizer.load(FILE)
    first = tokenizer.encode(["panda", "bamboo"])
    monkeypatch.setattr(tokenizer, "_tokenizer", None)  # whoever asks it fails
    again = tokenizer.encode(["bamboo", "panda", "bamboo"])
    assert [one is other for one, other in zip(again, [first[1], first[0], first[1]], strict=True)] == [True] * 3
    with pytest.raises(ValueError, match="read-only"):
        again[0].ids[0] = 7


def test_what_was_not_used_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = CachingTokenizer.load(FILE)
    tokenizer.recent.limit = 900  # two short texts
    tokenizer.encode(["panda"])
    tokenizer.encode(["bamboo"])
    tokenizer.encode(["panda"])
    tokenizer.encode(["stocks"])
    monkeypatch.setattr(tokenizer, "_tokenizer", None)
    tokenizer.encode(["panda", "stocks"])
    with pytest.raises(AttributeError):
        tokenizer.encode(["bamboo"])


def test_any_number_of_threads_may_share_it() -> None:
    tokenizer = CachingTokenizer.load(FILE)
    tokenizer.recent.limit = 2000
    texts = [f"panda {number % 7}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: tokenizer.encode(texts), range(50)))
    expected = PLAIN.encode(texts)
    assert all(same(one, expected) for one in found)
    assert 0 < tokenizer.recent.held <= 2000


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_wait_for_a_lock_that_another_thread_of_its_parent_held() -> None:
    recent: LRUCache[str, int] = LRUCache(4)
    recent.put({"a": 1})
    with recent._lock:
        child = os.fork()
        if child == 0:  # here the lock is held, by nobody who will give it back
            signal.alarm(5)
            os._exit(recent.find(["a", "b"], lambda _: [2]) != [1, 2])
    assert os.waitpid(child, 0)[1] == 0


def test_it_stands_where_states_are_kept_and_nowhere_else() -> None:
    kinds = [
        type(load_scorer("resift:small", keep_states=kept)._pipeline.tokenizer)  # type: ignore[attr-defined]
        for kept in (0, 1000)
    ]
    assert kinds == [TextTokenizer, CachingTokenizer]


@pytest.mark.parametrize(
    ("model", "network", "method"),
    [("resift:small", SplitNetwork, "_ask"), ("resift:tiny", TinyNetwork, "_sought")],
)
def test_a_query_is_encoded_once_however_many_rounds_its_documents_take(
    model: str, network: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    original = getattr(network, method)

    def count(self: object, keys: list[bytes]) -> object:
        asked.append(len(keys))
        return original(self, keys)

    monkeypatch.setattr(network, method, count)
    scorer = load_scorer(model)
    whole = scorer.score("what eats bamboo?", ["panda", "bamboo", "stocks fell"])
    pieces = [scorer.score("what eats bamboo?", [text])[0] for text in ("panda", "bamboo", "stocks fell")]
    assert pieces == pytest.approx(list(whole), abs=1e-5)
    assert asked == [1]
    scorer.score("who sleeps?", ["panda"])
    assert asked == [1, 1]
