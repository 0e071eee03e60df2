"""Vectors of the bundled table."""

from __future__ import annotations

import pytest

from resift import StaticEmbedder


def test_vectors_are_unit_length_and_independent_of_other_texts() -> None:
    embedder = StaticEmbedder()
    texts = ["the fox", "", "a much longer text about grapes and foxes " * 30]
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, embedder.dimensions)
    assert (vectors**2).sum(1).tolist() == pytest.approx([1, 0, 1], abs=1e-5)
    assert embedder.embed([texts[2]])[0].tolist() == pytest.approx(vectors[2].tolist(), abs=1e-6)
    assert embedder.embed([]).shape == (0, embedder.dimensions)
