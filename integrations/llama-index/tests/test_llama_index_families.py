"""A model family by its folder's name, as any other model."""

from __future__ import annotations

from pathlib import Path

import pytest
import random_language_models
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index.postprocessor.resift import ResiftRerank
from resift import Reranker


def test_a_language_model_by_its_folder(tmp_path: Path) -> None:
    folder = random_language_models.build("Qwen3-Reranker-0.6B", tmp_path / "Qwen3-Reranker-0.6B")
    texts = ["panda eats bamboo", "stock fell on monday", "water"]
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in texts]
    postprocessor = ResiftRerank(model=str(folder), instruction="find animals")
    results = postprocessor.postprocess_nodes(nodes, query_str="what eats bamboo?")
    expected = Reranker(folder, instruction="find animals").rank("what eats bamboo?", texts)
    assert [node.text for node in results] == [hit.document for hit in expected]
    assert [node.score for node in results] == pytest.approx([hit.relevance for hit in expected], abs=1e-5)
