"""Caches of the bundled engines: a query is encoded once, and tokens are cached only where states are kept."""

from __future__ import annotations

import pytest

from resift import load_scorer
from resift.engines.split.reader import SplitNetwork
from resift.engines.tiny import TinyNetwork
from resift.text.tokenizer import CachingTokenizer, TextTokenizer


def test_tokens_are_cached_where_states_are_kept_and_nowhere_else() -> None:
    classes = [
        type(load_scorer("resift:small", keep_states=kept).pipeline.tokenizer)  # type: ignore[attr-defined]
        for kept in (0, 1000)
    ]
    assert classes == [TextTokenizer, CachingTokenizer]


@pytest.mark.parametrize(
    ("model", "network", "method"),
    [("resift:small", SplitNetwork, "encode_queries"), ("resift:tiny", TinyNetwork, "_expand_queries")],
)
def test_a_query_is_encoded_once_however_many_rounds_its_documents_take(
    model: str, network: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded_queries: list[int] = []
    original = getattr(network, method)

    def count(self: object, keys: list[bytes]) -> object:
        encoded_queries.append(len(keys))
        return original(self, keys)

    scorer = load_scorer(model)
    monkeypatch.setattr(network, method, count)
    whole = scorer.score("what eats bamboo?", ["panda", "bamboo", "stocks fell"])
    pieces = [scorer.score("what eats bamboo?", [text])[0] for text in ("panda", "bamboo", "stocks fell")]
    assert pieces == pytest.approx(list(whole), abs=1e-5)
    assert encoded_queries == [1]
    scorer.score("who sleeps?", ["panda"])
    assert encoded_queries == [1, 1]
