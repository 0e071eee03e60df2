"""A Hugging Face id without a network: one question, one line, and the ways out."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import late_models
import pytest
from build_once import BuildOnce
from huggingface_hub import constants

from resift import ModelFileError, load_scorer
from resift.engines import hub
from resift.export.pair import export_model
from resift.training.build import build
from resift.training.recipe import Recipe
from resift.training.teachers import dense_embed

Folder = Callable[[str], Path]
NAME = "organisation/reranker"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses that were asked: the hub can't be reached, and its cache is empty."""
    addresses: list[str] = []

    def head(url: str, **options: float) -> None:
        assert options["timeout"] <= hub.PATIENCE
        addresses.append(url)
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "get_session", lambda: SimpleNamespace(head=head))
    hub._ANSWER.clear()
    yield addresses
    hub._ANSWER.clear()


@pytest.mark.parametrize("scheme", ["", "st:", "colbert:", "lm:", "monot5:", "onnx:", "openvino:"])
def test_one_question_and_one_line(asked: list[str], caplog: pytest.LogCaptureFixture, scheme: str) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(ModelFileError) as caught:
        load_scorer(f"{scheme}{NAME}")
    message = str(caught.value)
    for part in (NAME, "huggingface.co can't be reached ([Errno -2]", "a folder", "local_files_only", "resift:small"):
        assert part in message
    assert "\n" not in message
    assert asked == ["https://huggingface.co"]
    assert not caplog.records
    with pytest.raises(ModelFileError):
        load_scorer(f"{scheme}{NAME}")
    assert len(asked) == 1


def test_export_asks_once_too(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"can't be reached.*resift:small"):
        export_model(NAME, tmp_path / "exported")
    assert len(asked) == 1


def test_training_asks_once_too(asked: list[str]) -> None:
    with pytest.raises(ModelFileError, match=r"can't be reached.*resift:small"):
        build(Recipe(base=NAME, network="cls"))
    with pytest.raises(ModelFileError, match=r"can't be reached"):
        dense_embed(NAME)
    assert len(asked) == 1


def test_a_network_that_never_answers(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(hub, "PATIENCE", 0.05)
    monkeypatch.setattr(hub, "get_session", lambda: SimpleNamespace(head=lambda *_, **__: released.wait(60)))
    with pytest.raises(ModelFileError, match=r"can't be reached \(no answer in 0.05 seconds\)"):
        load_scorer(NAME)
    released.set()
    assert asked == []


def test_who_forbids_the_hub_is_told_so(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelFileError, match=r"local_files_only=True forbids to ask the hub.*resift:small"):
        load_scorer(NAME, local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelFileError, match=r"HF_HUB_OFFLINE forbids to ask the hub.*resift:small"):
        load_scorer(NAME)
    assert asked == []


def test_a_cached_model_needs_no_network(asked: list[str], saved: Folder, tmp_path: Path) -> None:
    repository = tmp_path / "cache" / f"models--{NAME.replace('/', '--')}"
    shutil.copytree(saved("bert-small"), repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    expected = load_scorer(saved("bert-small")).score("what eats bamboo", ["panda"])
    assert list(load_scorer(NAME).score("what eats bamboo", ["panda"])) == pytest.approx(list(expected), abs=1e-6)
    assert len(asked) == 1
    (repository / "snapshots" / ("a" * 40) / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"can't be loaded by sentence-transformers.*can't be reached"):
        load_scorer(NAME)


def test_a_cached_model_of_another_kind_is_named_by_its_id(
    asked: list[str], build_once: BuildOnce, tmp_path: Path
) -> None:
    snapshot = tmp_path / "cache" / f"models--{NAME.replace('/', '--')}" / "snapshots" / ("a" * 40)
    shutil.copytree(build_once("saved/pylate", late_models.build_pylate), snapshot)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("a" * 40)
    with pytest.raises(ModelFileError, match=f"holds a late-interaction model.*colbert:{NAME} runs it"):
        load_scorer(NAME)
    assert load_scorer(f"colbert:{NAME}").name == NAME


def test_where_the_hub_answers_files_are_downloaded(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever it answers: what follows is the business of its own library, with its own patience."""
    downloads: list[bool] = []

    def download(_: str, *, local_files_only: bool, **__: object) -> str:
        downloads.append(local_files_only)
        return str(tmp_path)

    monkeypatch.setattr(hub, "get_session", lambda: SimpleNamespace(head=lambda *_, **__: "503"))
    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(ModelFileError, match=r"config\.json"):
        load_scorer(f"onnx:{NAME}")
    assert downloads == [False]
    assert asked == []
