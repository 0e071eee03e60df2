"""Models that were never rerankers are refused by name, wherever a model can be named, and real ones are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import late_models
import other_models
import pytest
import random_models
import torch
from build_once import BuildOnce
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder

from resift import DenseEmbedder, InputError, ModelFileError, StaticEmbedder, UnknownModelError, load_scorer
from resift.embedders.load import load_embedder
from resift.export.pair import export_model
from resift.models.bundled import bundled_folder
from resift.training.students import open_student
from resift.training.teachers import dense_embed

Folder = Callable[[str], Path]
QUERY, DOCUMENTS = "what eats bamboo", ["a panda eats bamboo", "stock fell on monday"]

REFUSED = {
    "encoder": r"is no reranker: it holds an encoder without a scoring head \(BertModel\), without weights for "
    r"classifier.weight, which would be random numbers, others at every load; .*`resift train --base`",
    "bi-encoder": r"is no reranker: it holds a bi-encoder of sentence-transformers \(BertModel\).*classifier.weight"
    r".*use it in the first stage",
    "old-bi-encoder": r"is no reranker: it holds a bi-encoder of sentence-transformers.*use it in the first stage",
    "sparse": r"is no reranker: it holds a sparse encoder of sentence-transformers.*use it in the first stage",
    "masked": r"is no reranker: it holds a masked language model \(BertForMaskedLM\).*classifier.weight",
    "answers": r"is no reranker: it holds a model that marks answers in a text",
    "words": r"is no reranker: it holds a token classifier \(BertForTokenClassification\)",
    "words-modernbert": r"is no reranker: it holds a token classifier \(ModernBertForTokenClassification\)",
    "nli": r"has 3 labels \(contradiction, entailment, neutral\): it is a classifier, not a reranker",
    "gpt2": r"is no reranker: it holds a language model \(GPT2LMHeadModel\), without weights for score.weight"
    r".*`resift models` lists them",
}


@pytest.fixture(scope="module")
def other(build_once: BuildOnce) -> Folder:
    """Name → the folder of the model of `other_models`."""
    return lambda name: build_once(f"other/{name}", partial(other_models.build, name))


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_what_has_no_trained_head_is_refused(other: Folder, tmp_path: Path, name: str, message: str) -> None:
    folder = other(name)
    with pytest.raises(ModelFileError, match=message):
        load_scorer(f"st:{folder}")
    with pytest.raises(ModelFileError, match=r"no late-interaction model: it holds .* a projection of random numbers"):
        load_scorer(f"colbert:{folder}")
    with pytest.raises(ModelFileError, match="is a language model" if name == "gpt2" else message):
        load_scorer(folder)
    with pytest.raises(ModelFileError, match="language model" if name == "gpt2" else message):
        export_model(str(folder), tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_a_real_cross_encoder_with_modules_is_none_of_them(other: Folder) -> None:
    folder = other("cross-encoder")
    assert (folder / "modules.json").exists()
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    expected = model.predict([(QUERY, document) for document in DOCUMENTS], activation_fn=torch.nn.Identity())
    assert list(load_scorer(folder).score(QUERY, DOCUMENTS)) == pytest.approx(expected.tolist(), abs=1e-5)


def test_who_means_it_may(other: Folder) -> None:
    for name in ("st:", "colbert:"):
        scorer = load_scorer(f"{name}{other('encoder')}", allow_untrained_head=True)
        assert len(scorer.score(QUERY, DOCUMENTS)) == 2


def test_weights_in_older_files_are_found_all_the_same(saved: Folder, tmp_path: Path) -> None:
    """As torch saved them, and under the names that TensorFlow's had: transformers' report decides."""
    folder = shutil.copytree(saved("bert-small"), tmp_path / "model")
    expected = load_scorer(folder).score(QUERY, DOCUMENTS)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(
        {name.replace("LayerNorm.weight", "LayerNorm.gamma"): w for name, w in weights.items()},
        folder / "pytorch_model.bin",
    )
    assert list(load_scorer(folder).score(QUERY, DOCUMENTS)) == pytest.approx(list(expected), abs=1e-6)
    headless = {name: weight for name, weight in weights.items() if not name.startswith("classifier")}
    torch.save(headless, folder / "pytorch_model.bin")
    with pytest.raises(
        ModelFileError, match=r"is incomplete: .*without weights for classifier.weight.*copy the model again"
    ):
        load_scorer(folder)


def test_the_weights_decide_and_not_the_name_of_the_architecture(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert-small"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    assert len(load_scorer(folder).score(QUERY, DOCUMENTS)) == 2
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"], weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=r"bert.encoder.layer.1.output.dense.weight, classifier.weight"):
        load_scorer(folder)


LABELS = {
    ("entailment", "not_entailment"): r"has the labels entailment and not_entailment.*the second means relevant: swap",
    ("relevant", "irrelevant"): "the second means relevant",
    ("POSITIVE", "NEGATIVE"): "the second means relevant",
    ("yes", "no"): "the second means relevant",
    ("not_duplicate", "duplicate"): None,
    ("LABEL_0", "LABEL_1"): None,
    ("normal", "notable"): None,
}


@pytest.mark.parametrize(("labels", "message"), LABELS.items())
@pytest.mark.parametrize("kind", ["weights", "graph"])
def test_the_second_of_two_labels_means_relevant(
    two_labels: dict[str, Path], tmp_path: Path, kind: str, labels: tuple[str, str], message: str | None
) -> None:
    folder = shutil.copytree(two_labels[kind], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    names = {"1": labels[1], "0": labels[0]}
    (folder / "config.json").write_text(
        json.dumps({**config, "id2label": names, "label2id": {label: int(number) for number, label in names.items()}})
    )
    if message is None:
        assert len(load_scorer(folder).score(QUERY, DOCUMENTS)) == 2
    else:
        with pytest.raises(ModelFileError, match=message):
            load_scorer(folder)


@pytest.fixture(scope="module")
def two_labels(build_once: BuildOnce, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    weights = build_once("saved/2-labels", partial(random_models.build_labels, 2))
    graph = tmp_path_factory.mktemp("labels") / "graph"
    shutil.copytree(weights, graph)
    export_model(str(weights), graph / "exported")
    (graph / "exported" / "model.onnx").rename(graph / "model.onnx")
    return {"weights": weights, "graph": graph}


def test_late_interaction_models_are_no_cross_encoders(build_once: BuildOnce) -> None:
    folder = build_once("saved/pylate", late_models.build_pylate)
    with pytest.raises(ModelFileError, match=r"is no reranker: it holds a late-interaction model.*colbert:/.* runs it"):
        load_scorer(f"st:{folder}")
    assert type(load_scorer(folder)).__name__ == "LateInteractionScorer"


def test_an_encoder_under_a_language_model_s_scheme(saved: Folder, other: Folder) -> None:
    with pytest.raises(ModelFileError, match=r"is no language model: it holds a bi-encoder"):
        load_scorer(f"lm:{other('bi-encoder')}")
    with pytest.raises(ModelFileError, match=r"reads pairs as its tokenizer joins them.*leave out the scheme"):
        load_scorer(f"qwen3-reranker:{saved('bert-small')}")


def parts(folder: Path, name: str) -> Path:
    """Write a folder that holds no whole model, by name."""
    folder.mkdir()
    if name == "adapter":
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "BAAI/bge-m3"}))
        (folder / "adapter_model.safetensors").write_bytes(b"weights")
    elif name == "gguf":
        (folder / "bge-reranker-v2-m3-Q8_0.gguf").write_bytes(b"GGUF")
    elif name == "tokenizer":
        shutil.copy(bundled_folder("small") / "tokenizer.json", folder)
        (folder / "tokenizer_config.json").write_text("{}")
    elif name == "exported":
        shutil.copy(bundled_folder("small") / "reader.onnx", folder)
    elif name == "weights":
        (folder / "model.safetensors").write_bytes(b"weights")
    return folder


PARTS = {
    "adapter": r"an adapter \(PEFT\) of BAAI/bge-m3, which is a part of a model; merge it into its base model",
    "gguf": r"weights for llama.cpp \(bge-reranker-v2-m3-Q8_0.gguf\).*llama-server --reranking.*llamacpp:http",
    "tokenizer": r"a tokenizer without a model",
    "weights": r"weights \(model.safetensors\) without a config.json",
    "exported": r"reader.onnx without its resift.json; copy or export the model again",
    "empty": r"no model.*give a folder with a config.json",
}


@pytest.mark.parametrize(("name", "message"), PARTS.items())
@pytest.mark.parametrize("scheme", ["", "st:", "onnx:", "colbert:"])
def test_a_part_of_a_model_is_named(tmp_path: Path, name: str, message: str, scheme: str) -> None:
    folder = parts(tmp_path / "part", name)
    with pytest.raises(ModelFileError, match=message):
        load_scorer(f"{scheme}{folder}")
    with pytest.raises(ModelFileError, match=message):
        export_model(str(folder), tmp_path / "exported")


def test_a_cross_encoder_teaches_and_mines_nothing_as_a_bi_encoder(other: Folder) -> None:
    for name in ("cross-encoder", "nli"):
        with pytest.raises(InputError, match="is no bi-encoder: it holds a"):
            dense_embed(str(other(name)))
        with pytest.raises(InputError, match="nothing to distil into"):
            open_student(str(other(name)))


@pytest.mark.parametrize(("name", "cure"), [("model.onnx", "the folder that it is in"), ("a.gguf", "llamacpp:http")])
def test_a_file_is_no_folder(tmp_path: Path, name: str, cure: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(UnknownModelError, match=f"is a file, and a model is a folder: .*{cure}"):
        load_scorer(tmp_path / name)


@pytest.mark.parametrize("make", [DenseEmbedder, StaticEmbedder])
def test_an_embedder_of_no_folder(make: Callable[[str], object]) -> None:
    with pytest.raises(ModelFileError, match=r"is no folder: a bi-encoder is resift:dense, resift:static, resift:"):
        make("sentence-transformers/all-MiniLM-L6-v2")


@pytest.mark.parametrize("make", [DenseEmbedder, StaticEmbedder, load_embedder])
def test_a_cross_encoder_is_no_embedder(other: Folder, exported: Folder, make: Callable[[Path], object]) -> None:
    with pytest.raises(ModelFileError, match=r"holds a cross-encoder.*\(BertForSeq.*; Reranker\(/.*\) runs it"):
        make(other("cross-encoder"))
    with pytest.raises(ModelFileError, match=r"holds a pair model.*: Reranker\(/.*\) runs it"):
        make(exported("bert-small"))
    with pytest.raises(ModelFileError, match=r"no bi-encoder that resift runs.*SentenceTransformer in an embedding"):
        make(other("bi-encoder"))
