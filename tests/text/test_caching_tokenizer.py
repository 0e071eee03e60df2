"""The caching tokenizer: the same tokens as without a cache, within its limit, and read-only for callers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resift.models.bundled import bundled_folder
from resift.text.tokenizer import CachingTokenizer, TextTokenizer, Tokens

FILE = bundled_folder("small") / "tokenizer.json"
PLAIN = TextTokenizer.load(FILE)
WORDS = st.sampled_from(["panda", "bamboo", "Zürich", "hyperbole", "", "a b c", "stocks fell on monday " * 30])


def same(actual: list[Tokens], expected: list[Tokens]) -> bool:
    return len(actual) == len(expected) and all(
        np.array_equal(left.ids, right.ids) and np.array_equal(left.offsets, right.offsets)
        for left, right in zip(actual, expected, strict=True)
    )


@given(st.lists(st.tuples(st.lists(WORDS, max_size=6), st.sampled_from([None, 3, 20])), max_size=6), st.integers(0, 9))
def test_tokens_equal_those_without_a_cache_and_the_cache_stays_within_its_limit(
    calls: list[tuple[list[str], int | None]], entries: int
) -> None:
    tokenizer = CachingTokenizer.load(FILE)
    tokenizer.cache.limit = 700 * entries
    for texts, needed_tokens in calls:
        assert same(tokenizer.encode(texts, needed_tokens), PLAIN.encode(texts, needed_tokens))
        assert tokenizer.cache.held <= tokenizer.cache.limit


def test_a_text_that_comes_again_is_not_tokenised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = CachingTokenizer.load(FILE)
    panda, bamboo = tokenizer.encode(["panda", "bamboo"])
    monkeypatch.setattr(tokenizer, "_tokenizer", None)  # tokenising would fail now
    again = tokenizer.encode(["bamboo", "panda", "bamboo"])
    assert [cached is first for cached, first in zip(again, [bamboo, panda, bamboo], strict=True)] == [True] * 3
    with pytest.raises(ValueError, match="read-only"):
        again[0].ids[0] = 7


def test_the_text_not_used_for_longest_is_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = CachingTokenizer.load(FILE)
    tokenizer.cache.limit = 900  # two short texts
    tokenizer.encode(["panda"])
    tokenizer.encode(["bamboo"])
    tokenizer.encode(["panda"])
    tokenizer.encode(["stocks"])
    monkeypatch.setattr(tokenizer, "_tokenizer", None)
    tokenizer.encode(["panda", "stocks"])
    with pytest.raises(AttributeError):
        tokenizer.encode(["bamboo"])


def test_threads_may_share_it() -> None:
    tokenizer = CachingTokenizer.load(FILE)
    tokenizer.cache.limit = 2000
    texts = [f"panda {number % 7}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: tokenizer.encode(texts), range(50)))
    expected = PLAIN.encode(texts)
    assert all(same(tokens, expected) for tokens in results)
    assert 0 < tokenizer.cache.held <= 2000
