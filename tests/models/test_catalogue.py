"""The catalogue, and the published families that sentence-transformers or ONNX Runtime runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import random_models
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

from resift import InputError, ModelFileError, load_scorer
from resift.export.pair import export_model
from resift.models.catalogue import entries, find, measures
from resift.models.prompts import PROMPTS
from resift.scoring.load import ENGINES

Folder = Callable[[str], Path]
QUERY = "what eats bamboo?"
DOCUMENTS = [*random_models.documents((1, 8, 20, 60)), ""]
COMMIT = "a" * 40


def raw(folder: Path) -> list[float]:
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    pairs = [(QUERY, document) for document in DOCUMENTS]
    return list(model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False).tolist())


@pytest.fixture
def in_cache(saved: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds jinaai/jina-reranker-v2-base-multilingual at one commit, as a graph and as weights."""
    repository = tmp_path / "models--jinaai--jina-reranker-v2-base-multilingual"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(saved("bert-2"), snapshot)
    export_model(str(saved("bert-2")), tmp_path / "exported")
    (snapshot / "onnx").mkdir()
    shutil.copyfile(tmp_path / "exported" / "model.onnx", snapshot / "onnx" / "model.onnx")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return snapshot


def test_every_row_can_be_run_or_says_why_not() -> None:
    for entry in entries().values():
        assert entry.engine in ENGINES or (entry.engine is None and entry.instead)
        assert (entry.engine == "lm") == (entry.prompt in PROMPTS)
        assert set(entry.figures) <= set(measures())
        assert find(f"/models/{entry.id.partition('/')[2]}") == find(entry.id) == entry
    assert all(measure.source for measure in measures().values())


def test_modular_heads_as_ettin_has_them(saved: Folder, tmp_path: Path) -> None:
    body = Transformer(str(saved("modernbert")), transformer_task="feature-extraction")
    torch.manual_seed(3)
    size = 128
    modules = [
        body,
        Pooling(size, pooling_mode="cls"),
        Dense(size, size, bias=False, activation_function=torch.nn.GELU(), module_output_name="sentence_embedding"),
        LayerNorm(size),
        Dense(size, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    folder = tmp_path / "ettin-reranker-17m-v1"
    CrossEncoder(modules=modules, device="cpu").save_pretrained(str(folder))
    expected = raw(folder)
    assert np.ptp(expected) > 1e-2
    assert list(load_scorer(folder).score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)
    export_model(str(folder), tmp_path / "onnx")
    assert list(load_scorer(tmp_path / "onnx").score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)


def test_the_tuned_length_is_a_default_and_no_limit(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("xlm-roberta-8k"), tmp_path / "bge-reranker-v2-m3")
    assert load_scorer(folder).max_length == 1024  # type: ignore[attr-defined]
    assert load_scorer(folder, max_length=8192).max_length == 8192  # type: ignore[attr-defined]
    unknown = shutil.copytree(folder, tmp_path / "my-own")
    assert load_scorer(unknown).max_length == 8192  # type: ignore[attr-defined]


def test_half_precision_weights_are_computed_in_float32_on_cpu(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert-2"), tmp_path / "half")
    model = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    model.save_pretrained(str(folder))
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    scorer = load_scorer(folder)
    assert {parameter.dtype for parameter in scorer.cross_encoder.parameters()} == {torch.float32}  # type: ignore[attr-defined]


def test_a_hub_model_at_a_revision(in_cache: Path) -> None:
    """jina-reranker v2 by its id: the graph, out of the hub's cache, without its code."""
    name = "jinaai/jina-reranker-v2-base-multilingual"
    expected = raw(in_cache)
    for options in ({}, {"revision": COMMIT}, {"revision": "main", "local_files_only": True}):
        scorer = load_scorer(name, **options)
        assert type(scorer).__name__ == "OnnxScorer"
        assert scorer.name == name
        assert list(scorer.score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)
    torch_weights = load_scorer(f"st:{name}", revision=COMMIT, local_files_only=True)
    assert list(torch_weights.score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ModelFileError, match="can't be had from the Hugging Face hub"):
        load_scorer(name, revision="b" * 40)


def test_code_of_its_own_is_refused_and_the_way_is_named(saved: Folder, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("bert-2"), tmp_path / "jina-reranker-v1-tiny-en")
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoModelForSequenceClassification": "modeling_bert.JinaBertForSequenceClassification"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": code}))
    with pytest.raises(ModelFileError, match=r"code of its own.*its ONNX graph needs none: onnx:jinaai/.*revision="):
        load_scorer(folder)
    with pytest.raises(ModelFileError, match="code of its own"):
        export_model(str(folder), tmp_path / "onnx")
    with pytest.raises(ModelFileError, match="code of its own"):
        load_scorer(f"colbert:{folder}")
    elsewhere = {"AutoModelForSequenceClassification": "someone/else--modeling.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": elsewhere}))
    with pytest.raises(ModelFileError, match=r"in another repository \(someone/else\)"):
        load_scorer(folder, trust_remote_code=True)


@pytest.mark.parametrize("revision", [None, "main", "abc123", "A" * 40])
@pytest.mark.parametrize("scheme", ["", "st:", "colbert:", "lm:", "qwen3-reranker:"])
def test_remote_code_of_a_hub_model_needs_a_commit(scheme: str, revision: str | None) -> None:
    options = {} if revision is None else {"revision": revision}
    with pytest.raises(InputError, match="pin what you have read with revision="):
        load_scorer(f"{scheme}organisation/model", trust_remote_code=True, **options)


def test_what_scores_lists_names_the_service() -> None:
    with pytest.raises(ModelFileError, match="use the service: jina:jina-reranker-v3"):
        load_scorer("jinaai/jina-reranker-v3")


def test_language_models_are_not_exported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}))
    with pytest.raises(ModelFileError, match=r"Qwen3ForCausalLM.*only cross-encoders over pairs are exported"):
        export_model(str(tmp_path), tmp_path / "onnx")
