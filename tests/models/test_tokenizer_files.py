"""tokenizer.json that can't be read, or that transformers reads otherwise: named, and never taken for right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import late_models
import pytest
from build_once import BuildOnce
from odd_graphs import write_settings
from tokenizers import Tokenizer

from resift import ModelFileError, load_scorer
from resift.export.pair import export_model

Folder = Callable[[str], Path]
QUERY, DOCUMENTS = (
    "what eats bamboo",
    ["a panda eats bamboo", "stock fell on monday", "hyperbole under unbelievable grass"],
)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 9\n"


def spoil(path: Path, how: str) -> None:
    if how == "pointer":
        path.write_text(POINTER)
    elif how == "comma":
        path.write_text(path.read_text().rstrip().removesuffix("}") + ",}")
    elif how == "type":  # of a library that is newer than ours
        data = json.loads(path.read_text())
        path.write_text(json.dumps({**data, "pre_tokenizer": {"type": "FromTheFuture", "level": 3}}))


@pytest.fixture(scope="module")
def late(build_once: BuildOnce) -> Path:
    return build_once("saved/pylate", late_models.build_pylate)


@pytest.mark.parametrize("how", ["pointer", "comma", "type"])
@pytest.mark.parametrize("kind", ["st", "graph", "exported", "colbert", "export"])
def test_a_tokenizer_that_can_not_be_read_is_named(
    saved: Folder, exported: Folder, late: Path, tmp_path: Path, kind: str, how: str
) -> None:
    sources = {"exported": exported("bert-small"), "colbert": late}
    folder = shutil.copytree(sources.get(kind, saved("bert-small")), tmp_path / "model")
    if kind == "graph":
        shutil.copy(exported("bert-small") / "model.onnx", folder)
    spoil(folder / "tokenizer.json", how)
    load = partial(load_scorer, folder)
    if kind == "export":
        load = partial(export_model, str(folder), tmp_path / "exported")  # type: ignore[assignment]
    with pytest.raises(ModelFileError, match="git lfs pull" if how == "pointer" else r"tokenizer\.json") as caught:
        load()
    assert "tokenizer.json" in str(caught.value)


@pytest.mark.parametrize("name", ["bert-small", "xlm-roberta"])
@pytest.mark.parametrize("kind", ["st", "export"])
def test_a_folder_without_a_tokenizer_is_refused(saved: Folder, tmp_path: Path, kind: str, name: str) -> None:
    """transformers 5 makes a tokenizer of no words for it, to which all texts are the same."""
    folder = shutil.copytree(saved(name), tmp_path / "model")
    for path in (*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("s*piece*")):
        path.unlink()
    with pytest.raises(ModelFileError, match=r"model.*tokenizer"):
        load_scorer(folder) if kind == "st" else export_model(str(folder), tmp_path / "exported")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.onnx"])
def test_weights_that_were_not_pulled(saved: Folder, exported: Folder, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(saved("bert-small"), tmp_path / "model")
    if name == "model.onnx":
        shutil.copy(exported("bert-small") / "model.onnx", folder)
    (folder / name).write_text(POINTER)
    with pytest.raises(ModelFileError, match=r"git-lfs pointer.*run `git lfs pull`") as caught:
        load_scorer(folder)
    assert name in str(caught.value)


def test_a_pointer_that_nothing_reads_does_no_harm(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert-small"), tmp_path / "model")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_O4.onnx").write_text(POINTER)
    (folder / "pytorch_model.bin").write_text(POINTER)
    assert len(load_scorer(folder).score(QUERY, DOCUMENTS)) == 3


@pytest.fixture
def leftover(saved: Folder, tmp_path: Path) -> Path:
    """XLM-R, whose tokenizer_config.json has a setting that only transformers 5 reads."""
    folder = shutil.copytree(saved("xlm-roberta"), tmp_path / "leftover")
    write_settings(folder / "tokenizer_config.json", tokenizer_class="XLMRobertaTokenizer", add_prefix_space=False)
    return folder


def test_a_leftover_setting_changes_no_score(saved: Folder, leftover: Path) -> None:
    expected = load_scorer(saved("xlm-roberta")).score(QUERY, DOCUMENTS)
    with pytest.warns(UserWarning, match=r"reads texts otherwise than .*leftover's own tokenizer.json.*is used"):
        scores = load_scorer(leftover).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(list(expected), abs=1e-6)


def test_export_writes_the_folder_s_own_tokenizer(leftover: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="reads texts otherwise"):
        export_model(str(leftover), tmp_path / "exported")
    own, written = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (leftover, tmp_path / "exported"))
    for text in (QUERY, *DOCUMENTS):
        assert own.encode(QUERY, text).ids == written.encode(QUERY, text).ids


def test_a_setting_that_transformers_has_always_read_is_followed(saved: Folder, tmp_path: Path) -> None:
    """Large letters of a BERT model whose two files say different things: sentence-transformers' scores are kept."""
    folder = shutil.copytree(saved("bert-small"), tmp_path / "model")
    data = json.loads((folder / "tokenizer.json").read_text())
    data["normalizer"]["strip_accents"] = False
    (folder / "tokenizer.json").write_text(json.dumps(data))
    write_settings(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", strip_accents=True)
    with pytest.warns(UserWarning, match=r"otherwise than .*is followed, as in sentence-transformers"):
        scorer = load_scorer(folder)
    expected = load_scorer(saved("bert-small")).score(QUERY, ["Zürich naïve panda"])
    assert list(scorer.score(QUERY, ["Zürich naïve panda"])) == pytest.approx(list(expected), abs=1e-6)
