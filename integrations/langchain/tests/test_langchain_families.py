"""A model family by its folder's name, as any other model."""

from __future__ import annotations

from pathlib import Path

import pytest
import random_language_models
from langchain_core.documents import Document

from langchain_resift import ResiftRerank
from resift import Reranker


def test_a_language_model_by_its_folder(tmp_path: Path) -> None:
    folder = random_language_models.build("Qwen3-Reranker-0.6B", tmp_path / "Qwen3-Reranker-0.6B")
    texts = ["panda eats bamboo", "stock fell on monday", "water"]
    options = {"instruction": "find animals"}
    compressor = ResiftRerank(model=str(folder), engine_options=options)
    results = compressor.compress_documents([Document(text) for text in texts], "what eats bamboo?")
    expected = Reranker(folder, **options).rank("what eats bamboo?", texts)
    assert [document.page_content for document in results] == [hit.document for hit in expected]
    assert [document.metadata["relevance_score"] for document in results] == pytest.approx(
        [hit.relevance for hit in expected], abs=1e-5
    )
