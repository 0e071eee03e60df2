"""The parts of the bundled networks' scores: they add up, in short texts and long ones, and lie at the right words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import random_models
import split_models
import torch
from build_once import BuildOnce
from hypothesis import given, settings
from hypothesis import strategies as st

from resift import InputError, Reranker
from resift.demo import AMBIGUOUS, QUESTIONS, fables
from resift.engines.onnx import OnnxScorer
from resift.explanation.explain import ROUNDING
from resift.explanation.explanation import Explanation
from resift.explanation.graph_file import GraphFile
from resift.export.split import export_split
from resift.models.bundled import bundled_folder
from resift.models.manifest import Manifest
from resift.networks.split import SplitModule

# Texts of any script are meant here.
pytestmark = pytest.mark.filterwarnings("ignore:most of these texts are plainly not English")

EXACT = 1e-3
KEPT = 0.05  # kept states are read by products of integers, explanations compute in full
TOKENS = ("python", "snake", "ball", "care", "the", "of", "蛇", "naïve", "café", "🐍", "don't", "x²", "[PAD]", "[SEP]")
WORDS = st.sampled_from([*TOKENS, "3.14", "-", "\n", "कि"])
TEXTS = st.lists(WORDS, max_size=40).map(" ".join)


def check_sums(explanation: Explanation, reranker: Reranker, apart: float = EXACT) -> None:
    (hit,) = reranker.rank(explanation.query, [explanation.document])
    parts = dict(explanation.parts)
    assert parts.pop(ROUNDING) == pytest.approx(0, abs=apart)
    assert sum(parts.values()) == pytest.approx(hit.score, abs=apart)
    assert explanation.score == pytest.approx(hit.score, abs=1e-5)
    assert explanation.span == hit.span
    assert explanation.truncated == hit.truncated
    assert explanation.unassigned is not None
    assert explanation.unassigned + explanation.contributions.sum() == pytest.approx(hit.score, abs=apart)
    assert explanation.matrix is not None
    assert explanation.matrix.shape == (len(explanation.query_words), len(explanation.document_words))
    start, end = explanation.span or (0, len(explanation.document))
    for word in explanation.document_words:
        assert explanation.document[word.start : word.end] == word.text
        assert start <= word.start < word.end <= end
    if (evidence := explanation.evidence) is not None:
        assert explanation.document[evidence.start : evidence.end] == evidence.text


@pytest.fixture(scope="module", params=["resift:small", "resift:tiny"])
def windows(request: pytest.FixtureRequest) -> Reranker:
    return Reranker(request.param, long_documents="max_window")


@settings(max_examples=12)
@given(query=TEXTS.filter(str.strip), document=TEXTS)
def test_parts_add_up_to_the_score(windows: Reranker, query: str, document: str) -> None:
    check_sums(windows.explain(query, document), windows)


def test_parts_of_a_long_document_add_up_to_the_score_of_its_best_window(windows: Reranker) -> None:
    story = next(story.text for story in fables() if QUESTIONS[0].answer in story.text)
    others = " ".join(story.text for story in fables()[:3])
    explanation = windows.explain(QUESTIONS[0].text, f"{others} {story} {others}")
    check_sums(explanation, windows)
    assert explanation.span is not None
    assert explanation.evidence is not None
    assert "grapes" in explanation.evidence.text.lower()


@pytest.mark.filterwarnings("ignore::resift.TruncationWarning")
@pytest.mark.parametrize("model", ["resift:small", "resift:tiny"])
def test_parts_of_a_truncated_document_add_up(model: str) -> None:
    reranker = Reranker(model, max_length=32, long_documents="truncate")
    explanation = reranker.explain("python snake", "Ball pythons are snakes. " * 20)
    check_sums(explanation, reranker)
    assert explanation.truncated


def test_parts_with_kept_states_add_up_to_what_the_kept_states_give() -> None:
    reranker = Reranker(keep_states=10_000_000)
    for _ in range(2):
        check_sums(reranker.explain("python snake", "The ball python is a snake of West Africa."), reranker, KEPT)


def test_control_tokens_that_a_text_spells() -> None:
    reranker = Reranker(control_tokens="model")
    check_sums(reranker.explain("snake [PAD] python", "[PAD] Ball python [PAD] care [SEP] guide"), reranker)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_network_without_terms_in_other_precisions(build_once: BuildOnce, precision: str) -> None:
    folder = build_once(f"explained-{precision}", lambda path: _export(path, precision))
    reranker = Reranker(folder / "model", long_documents="max_window")
    for query, document in (("red fox", "the red fox ran"), ("a", "fox " * 200)):
        explanation = reranker.explain(query, document)
        check_sums(explanation, reranker)
        assert "matching terms" not in explanation.parts


def test_a_network_that_matches_tokens(build_once: BuildOnce) -> None:
    reranker = Reranker(build_once("explained-tokens", _export_matching) / "model", long_documents="max_window")
    for query, document in (("red fox", "the red fox ran from the red fox"), ("a", "fox " * 200), ("panda", "")):
        explanation = reranker.explain(query, document)
        check_sums(explanation, reranker)
        assert (explanation.parts["matching terms"] > 0) == ("fox" in query and "fox" in document)


def _export_matching(path: Path) -> Path:
    torch.manual_seed(5)
    network = SplitModule(
        split_models.trunk(), 2, 7.0, rarity=torch.arange(300).clamp_max(200) * (torch.arange(300) > 4)
    )
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    random_models._wordpiece().save_pretrained(path)
    manifest = Manifest("split", "split", document_length=split_models.LENGTH, query_length=split_models.LENGTH)
    export_split(network.eval(), path / "tokenizer.json", path / "model", manifest)
    return path


def _export(path: Path, precision: str) -> Path:
    folder = split_models.export(path)
    if precision != "float32":
        from resift.export.int8_weights import quantize_weights

        for name in ("encoder.onnx", "reader.onnx"):
            quantize_weights(folder / name)
        (folder / "resift.json").write_text(_unchecked(folder), encoding="utf-8")
    return folder


def _unchecked(folder: Path) -> str:
    manifest = Manifest("split", "split", document_length=split_models.LENGTH, query_length=split_models.LENGTH)
    manifest.write(folder, ["encoder.onnx", "reader.onnx", "tokenizer.json"])
    return (folder / "resift.json").read_text(encoding="utf-8")


def test_snake_reads_python_in_the_classic_picture(bundled: Reranker) -> None:
    explanation = bundled.explain(AMBIGUOUS.text, AMBIGUOUS.answer)
    matrix = explanation.matrix
    assert matrix is not None
    assert [word.text for word in explanation.query_words] == ["python", "snake"]
    for row in matrix:
        assert explanation.document_words[int(row.argmax())].text == "python"
    other = bundled.explain(AMBIGUOUS.text, "Python programming tutorial").matrix
    assert other is not None
    assert matrix[1].max() > other[1].max(), "a python that is cared for is more of a snake than one that programs"


def test_words_have_their_places_where_letters_are_read_otherwise(bundled: Reranker) -> None:
    document = "The o\ufb03ce cat: cafe\u0301s, fi\u00adnance, \uff30ython"
    explanation = bundled.explain("python office", document)
    assert explanation.top_words(2)[0][0].text in ("o\ufb03ce", "\uff30ython")
    assert {word.text for word, _ in explanation.top_words(2)} == {"o\ufb03ce", "\uff30ython"}


@pytest.mark.parametrize("document", ["", " \n", "...", "\ud800"])
def test_documents_without_words(bundled: Reranker, document: str) -> None:
    explanation = bundled.explain("python snake", document)
    check_sums(explanation, bundled)
    assert explanation.top_words() == []


def test_a_method_that_a_scorer_lacks_names_the_other(overlap: Reranker) -> None:
    with pytest.raises(InputError, match="overlap has no parts"):
        overlap.explain("red fox", "the red fox", method="parts")
    with pytest.raises(InputError, match="one of parts, occlusion, attention, gradient, or None"):
        overlap.explain("red fox", "the red fox", method="magic")  # type: ignore[arg-type]


def test_a_graph_is_read_without_the_onnx_library(bundled: Reranker, exported: Callable[..., Path]) -> None:
    onnx = pytest.importorskip("onnx")
    path = bundled_folder("small") / "reader.onnx"
    graph, model = GraphFile.read(path), onnx.load(path).graph
    assert [node.kind for node in graph.nodes] == [node.op_type for node in model.node]
    assert [node.inputs for node in graph.nodes] == [tuple(node.input) for node in model.node]
    for tensor in model.initializer:
        assert np.array_equal(graph._stored(tensor.name), onnx.numpy_helper.to_array(tensor))


def test_explaining_changes_no_score(bundled: Reranker) -> None:
    documents = [story.text for story in fables()[:4]]
    before = [hit.score for hit in bundled.rank("a fox", documents)]
    assert isinstance(bundled.scorer, OnnxScorer)
    bundled.explain("a fox", documents[0])
    assert [hit.score for hit in bundled.rank("a fox", documents)] == before
