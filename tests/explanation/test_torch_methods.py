"""Attention and gradients of cross-encoders that torch runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import odd_graphs
import pytest
import torch
from build_once import BuildOnce

from resift import InputError, Reranker
from resift.engines.pytorch.sentence_transformers import SentenceTransformersScorer
from resift.explanation.explanation import Explanation
from resift.explanation.graph_file import GraphFile
from resift.explanation.torch_methods import _read, explain_by_gradient

QUERY, DOCUMENT = "what eats bamboo", "pandas eat bamboo all day, and caf\u00e9s don't"


@pytest.fixture(scope="module", params=["bert-small", "xlm-roberta", "deberta-v2", "modernbert"])
def reranker(request: pytest.FixtureRequest, saved: Callable[[str], Path]) -> Iterator[Reranker]:
    with Reranker(SentenceTransformersScorer(saved(request.param), long_documents="max_window")) as ranker:
        yield ranker


def check(explanation: Explanation, reranker: Reranker) -> None:
    assert explanation.score == pytest.approx(
        reranker.rank(explanation.query, [explanation.document])[0].score, abs=1e-5
    )
    assert np.isfinite(explanation.contributions).all()
    assert len(explanation.contributions) == len(explanation.document_words)
    for word in explanation.document_words:
        assert explanation.document[word.start : word.end] == word.text
    assert not explanation.adds_up


def test_attention_is_shared_out(reranker: Reranker) -> None:
    before = reranker.rank(QUERY, [DOCUMENT])[0].score
    explanation = reranker.explain(QUERY, DOCUMENT, method="attention")
    check(explanation, reranker)
    assert explanation.matrix is not None
    assert (explanation.matrix >= 0).all()
    assert 0 < explanation.matrix.sum() < explanation.matrix.shape[0] * 10
    assert reranker.rank(QUERY, [DOCUMENT])[0].score == before, "its usual attention is back"


def test_the_gradient_is_that_of_the_score(reranker: Reranker) -> None:
    with torch.inference_mode():  # a server may call from within
        explanation = reranker.explain(QUERY, DOCUMENT, method="gradient")
    check(explanation, reranker)
    assert explanation.matrix is None
    assert np.abs(explanation.contributions).sum() > 0


def test_the_gradient_equals_a_difference(saved: Callable[[str], Path]) -> None:
    scorer = SentenceTransformersScorer(saved("bert-small"))
    explanation = explain_by_gradient(scorer, QUERY, "bamboo")
    table = scorer.cross_encoder.transformers_model.get_input_embeddings()
    tokens = scorer.pipeline.tokenizer.encode(["bamboo"])[0].ids.tolist()  # type: ignore[union-attr]
    step = 1e-3

    def score(factor: float) -> float:
        def scale(_: object, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
            of_document = torch.zeros_like(inputs[0], dtype=torch.bool)
            of_document[:, -len(tokens) - 1 : -1] = True
            return torch.where(of_document[..., None], output * factor, output)

        hook = table.register_forward_hook(scale)
        try:
            return scorer.score(QUERY, ["bamboo"])[0]
        finally:
            hook.remove()

    slope = (score(1 + step) - score(1 - step)) / (2 * step)
    assert explanation.contributions.sum() == pytest.approx(slope, abs=5e-3)


def test_a_long_document_has_the_window_that_gave_the_score(saved: Callable[[str], Path]) -> None:
    scorer = SentenceTransformersScorer(saved("bert-small"), long_documents="max_window", max_length=24)
    reranker = Reranker(scorer)
    for method in ("attention", "gradient"):
        explanation = reranker.explain(QUERY, f"{DOCUMENT}. " * 6, method=method)  # type: ignore[arg-type]
        check(explanation, reranker)
        assert explanation.span == reranker.rank(QUERY, [explanation.document])[0].span


def test_a_model_whose_code_lacks_it_is_refused(saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = SentenceTransformersScorer(saved("bert-small"))
    network = type(scorer.cross_encoder.transformers_model)

    def lacks(*_: object) -> None:
        raise NotImplementedError("not here")

    monkeypatch.setattr(network, "set_attn_implementation", lacks)
    monkeypatch.setattr(network, "get_input_embeddings", lacks)
    for method in ("attention", "gradient"):
        with pytest.raises(InputError, match=r"doesn't show this \(not here\); use method='occlusion'"):
            Reranker(scorer).explain(QUERY, DOCUMENT, method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ["bert-small", "xlm-roberta", "deberta-v2", "modernbert"])
def test_an_onnx_graph_shows_the_attention_that_torch_shows(
    architecture: str, saved: Callable[[str], Path], exported: Callable[..., Path]
) -> None:
    scorer, pair, inputs, rows, columns = _read(SentenceTransformersScorer(saved(architecture)), QUERY, DOCUMENT)
    network = scorer.cross_encoder.transformers_model
    network.set_attn_implementation("eager")  # type: ignore[operator]
    with torch.inference_mode():
        layers = network(**inputs, output_attentions=True).attentions  # type: ignore[operator]
    # The exported graph computes its last layer for the first token alone, which is no word.
    shares = torch.stack([layer[0].mean(0) for layer in layers[:-1]]).mean(0).numpy().astype(np.float64)
    with Reranker(exported(architecture)) as graph:
        explanation = graph.explain(QUERY, DOCUMENT, method="attention")
        check(explanation, graph)
        assert explanation.matrix == pytest.approx(pair.by_word(shares[np.ix_(rows, columns)]), abs=1e-5)
        with pytest.raises(InputError, match="is an ONNX graph, which has no gradients: load the model with torch"):
            graph.explain(QUERY, DOCUMENT, method="gradient")


def test_a_graph_of_one_shape_shows_the_same_attention(saved: Callable[[str], Path], build_once: BuildOnce) -> None:
    folder = build_once("odd/static-attention", lambda path: odd_graphs.build(saved("bert-small"), "static", path))
    with Reranker(SentenceTransformersScorer(saved("bert-small"))) as ranker, Reranker(folder) as graph:
        whole = ranker.explain(QUERY, DOCUMENT, method="attention")
        assert graph.explain(QUERY, DOCUMENT, method="attention").matrix == pytest.approx(whole.matrix, abs=1e-5)


def test_a_graph_that_joins_its_attention_is_refused_with_the_way_out(
    exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = GraphFile.read

    def without_softmax(path: Path) -> GraphFile:
        file = read(path)
        return replace(file, nodes=tuple(node for node in file.nodes if node.kind != "Softmax"))

    monkeypatch.setattr(GraphFile, "read", without_softmax)
    with Reranker(exported("bert-small")) as graph, pytest.raises(InputError, match=r"shows no attention.*with torch"):
        graph.explain(QUERY, DOCUMENT, method="attention")


@pytest.mark.parametrize("method", ["attention", "gradient"])
def test_a_scorer_without_torch_is_refused_by_name(overlap: Reranker, bundled: Reranker, method: str) -> None:
    for ranker, name in ((overlap, "overlap"), (bundled, "resift:small")):
        with pytest.raises(InputError, match=f"{name} shows neither attention nor gradients"):
            ranker.explain("fox", "a fox", method=method)  # type: ignore[arg-type]
