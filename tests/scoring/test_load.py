"""Model names and folders: what loads, what is refused, and with which words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from resift import ModelFileError, Reranker, UnknownModelError, load_scorer
from resift.models.bundled import bundled_folder
from resift.models.manifest import Manifest

Folder = Callable[[str], Path]


@pytest.fixture
def copied(exported: Folder, tmp_path: Path) -> Path:
    return shutil.copytree(exported("bert-small"), tmp_path / "model")


@pytest.mark.parametrize("name", ["small", "static"])
def test_the_bundled_models_match_their_manifests_and_fit_the_wheel(name: str) -> None:
    manifest = Manifest.read(bundled_folder(name))
    assert manifest.name == f"resift:{name}"
    assert manifest.licence == "Apache-2.0"
    size = sum(file.stat().st_size for file in bundled_folder(name).iterdir())
    assert size < (26e6 if name == "small" else 10e6)  # 1.4 MB of it are the reader of kept states


def test_names_of_the_bundled_model() -> None:
    assert Reranker().scorer.name == Reranker("resift:small").scorer.name == "resift:small"
    with pytest.raises(
        UnknownModelError, match="no bundled model resift:huge; there is resift:small, resift:tiny, resift:fast"
    ):
        Reranker("resift:huge")
    with pytest.raises(ModelFileError, match="static model, which is no cross-encoder"):
        Reranker("resift:static")
    with pytest.raises(UnknownModelError, match="resift:dense is a bi-encoder"):
        Reranker("resift:dense")


def test_a_name_that_is_nothing_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownModelError,
        match=r"'minilm' is no folder.*: resift:small, resift:tiny, resift:fast, resift:multilingual; schemes: res",
    ):
        Reranker("minilm")
    with pytest.raises(UnknownModelError, match="no folder"):
        Reranker(str(tmp_path / "missing" / "deep" / "folder"))


def test_nothing_is_guessed_from_a_name(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert-small"), tmp_path / "jina-t5-gpt-cohere")
    assert type(load_scorer(folder)).__name__ == "SentenceTransformersScorer"


def test_the_scheme_says_the_engine(exported: Folder, saved: Folder, tmp_path: Path) -> None:
    both = shutil.copytree(saved("bert-small"), tmp_path / "both")
    shutil.copyfile(exported("bert-small") / "model.onnx", both / "model.onnx")
    assert type(load_scorer(both)).__name__ == "OnnxScorer"
    assert type(load_scorer(f"st:{both}")).__name__ == "SentenceTransformersScorer"
    onnx, torch = (load_scorer(name).score("panda", ["bamboo"])[0] for name in (both, f"st:{both}"))
    assert onnx == pytest.approx(torch, abs=1e-4)


def test_a_hugging_face_model_that_is_not_there() -> None:
    with pytest.raises(ModelFileError, match="organisation/model is no folder here and not in the cache"):
        load_scorer("organisation/model", local_files_only=True)


def test_code_beside_the_weights_is_not_run(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert-small"), tmp_path / "hub")
    (folder / "own.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Config: ...\nclass Model: ...\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=r"brings code of its own \(own.Config\), and none runs unless you say so"):
        load_scorer(folder)
    assert not (tmp_path / "ran").exists()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="neither an exported model"):
        Reranker(tmp_path)


def test_one_changed_byte_is_noticed(copied: Path) -> None:
    graph = copied / "model.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"model.onnx is damaged or was changed: SHA-256"):
        load_scorer(copied)


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "tokenizer.json").unlink()
    with pytest.raises(ModelFileError, match=r"lacks tokenizer.json"):
        load_scorer(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99, this resift reads format 1"),
        ({"kind": "poem"}, "unknown kind 'poem'"),
        ({"extra": 1}, "is no manifest"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(copied: Path, change: dict[str, object], message: str) -> None:
    path = copied / "resift.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelFileError, match=message):
        load_scorer(copied)


def test_a_manifest_that_is_not_json_is_refused(copied: Path) -> None:
    (copied / "resift.json").write_text("{")
    with pytest.raises(ModelFileError, match="not valid JSON"):
        load_scorer(copied)


@pytest.mark.parametrize("graph", ["model.onnx", "onnx/model.onnx"])
def test_a_hugging_face_folder_with_a_graph_loads_without_a_manifest(
    saved: Folder, exported: Folder, tmp_path: Path, graph: str
) -> None:
    folder = shutil.copytree(saved("xlm-roberta"), tmp_path / "hub")
    (folder / graph).parent.mkdir(exist_ok=True)
    shutil.copyfile(exported("xlm-roberta") / "model.onnx", folder / graph)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_max_length"] = int(1e30)  # as many tokenizers on the hub say: no limit known
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    scorer = load_scorer(folder)
    assert scorer.max_length == 512  # type: ignore[attr-defined]  # 514 positions, of which RoBERTa's kin use 512
    expected = load_scorer(exported("xlm-roberta")).score("panda", ["bamboo tree"])[0]
    assert scorer.score("panda", ["bamboo tree"])[0] == pytest.approx(expected, abs=1e-5)


def test_a_graph_that_is_no_graph_is_refused(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert-small"), tmp_path / "hub")
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelFileError, match="can't be loaded by ONNX Runtime"):
        load_scorer(folder)
