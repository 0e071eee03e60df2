"""OpenVINO runs the same folders and gives the same scores."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import random_models
import split_models
from build_once import BuildOnce

from resift import ModelFileError, Reranker, load_scorer
from resift.testing import check_scorer

QUERY, DOCUMENTS = "what eats bamboo", random_models.documents((1, 5, 9, 40, 90))


@pytest.mark.parametrize("architecture", ["bert-6", "xlm-roberta", "deberta-v2", "modernbert"])
def test_scores_equal_onnx_runtimes(architecture: str, exported: Callable[[str], Path]) -> None:
    expected = load_scorer(exported(architecture)).score(QUERY, DOCUMENTS)
    scores = load_scorer(f"openvino:{exported(architecture)}", threads=1).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(list(expected), abs=1e-4)


def test_a_split_network_scores_as_with_onnx_runtime(build_once: BuildOnce) -> None:
    folder = build_once("split", split_models.export) / "model"
    expected = load_scorer(folder).score(QUERY, DOCUMENTS[:4])
    scores = load_scorer(f"openvino:{folder}").score(QUERY, DOCUMENTS[:4])
    assert list(scores) == pytest.approx(list(expected), abs=1e-3)


def test_the_bundled_split_network_scores_nearly_as_with_onnx_runtime() -> None:
    from resift.models.bundled import bundled_folder

    expected = load_scorer().score(QUERY, DOCUMENTS)
    scores = load_scorer(f"openvino:{bundled_folder('small')}").score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(
        list(expected), abs=0.1
    )  # its activations are rounded to int8, here sometimes to a neighbour


def test_it_is_a_valid_scorer_for_threads_and_can_be_pickled(exported: Callable[[str], Path]) -> None:
    scorer = load_scorer(f"openvino:{exported('xlm-roberta')}", threads=1)
    check_scorer(scorer)
    expected = list(scorer.score(QUERY, DOCUMENTS))
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: list(scorer.score(QUERY, DOCUMENTS)), range(8)):
            assert scores == pytest.approx(expected, abs=1e-5)
    assert type(pickle.loads(pickle.dumps(scorer))) is type(scorer)


def test_a_damaged_graph_is_a_model_file_error(exported: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    (tmp_path / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 64}')
    (tmp_path / "tokenizer.json").write_bytes((exported("bert-6") / "tokenizer.json").read_bytes())
    with pytest.raises(ModelFileError, match="can't be loaded by OpenVINO"):
        Reranker(f"openvino:{tmp_path}").rank("a", ["b"])
