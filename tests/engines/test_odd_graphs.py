"""ONNX graphs as others export them: each gives the scores of sentence-transformers, or is refused at load."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import odd_graphs
import onnx
import pytest
import random_models
import torch
from build_once import BuildOnce
from odd_graphs import NAMES, TOKENS, Form, write_settings
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2Config, GPT2ForSequenceClassification

from resift import InputError, ModelFileError, load_scorer
from resift.export.pair import export_model

Folder = Callable[[str], Path]
QUERY = "what eats bamboo"
DOCUMENTS = [*random_models.documents((1, 5, 9, 12, 3, 20, 7)), ""]
SCORED = ["usual", "int32", "float-mask", "positions", "logits-second", "unnamed-second", "flat", "static-batch",
          "static-length", "static", "no-types", "tensorflow"]  # fmt: skip


@pytest.fixture(scope="module")
def odd(saved: Folder, build_once: BuildOnce) -> Folder:
    """Form → the folder of `bert-small` with a graph of that form."""
    return lambda form: build_once(f"odd/{form}", lambda path: odd_graphs.build(saved("bert-small"), form, path))


def reference(folder: Path) -> list[float]:
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    pairs = [(QUERY, document) for document in DOCUMENTS]
    scores = model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    return list(scores.tolist())


@pytest.fixture(scope="module")
def expected(saved: Folder) -> list[float]:
    return reference(saved("bert-small"))


@pytest.mark.parametrize(
    ("engine", "form"),
    [
        *(("onnx", form) for form in SCORED),
        *(("openvino", form) for form in ("int32", "float-mask", "logits-second", "static-batch", "static")),
    ],
)
def test_a_graph_of_another_form_gives_the_reference_s_scores(
    odd: Folder, saved: Folder, expected: list[float], engine: str, form: str
) -> None:
    if form == "no-types":
        expected = _without_types(saved("bert-small"))
    scores = load_scorer(f"{engine}:{odd(form)}", batch_tokens=64).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(expected, abs=1e-4)


def _without_types(folder: Path) -> list[float]:
    model = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    scores = []
    for document in DOCUMENTS:
        features = model.preprocess([(QUERY, document)])
        features["token_type_ids"].zero_()
        with torch.inference_mode():
            scores.append(float(model(features)["scores"]))
    return scores


def test_two_logits_are_log_odds(odd: Folder, expected: list[float]) -> None:
    scores = load_scorer(odd("two-logits")).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx([2 * score for score in expected], abs=1e-4)


def test_a_graph_without_a_mask_gets_no_padding(odd: Folder, expected: list[float]) -> None:
    scores = load_scorer(odd("no-mask")).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(expected, abs=1e-4)


def test_a_fixed_length_is_the_limit(odd: Folder) -> None:
    scorer = load_scorer(odd("static-length"))
    assert scorer.max_length == TOKENS  # type: ignore[attr-defined]
    assert load_scorer(odd("static"), max_length=32).max_length == 32  # type: ignore[attr-defined]
    assert scorer.score(QUERY, [random_models.text(200, 1)]).spans[0].truncated  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=f"max_length must lie between 16 and {TOKENS}"):
        load_scorer(odd("static"), max_length=TOKENS + 1)


REFUSED = {
    "token-vectors": r"gives vectors and no score \(last_hidden_state \(2, 4, 128\).*an encoder or a bi-encoder",
    "text-vectors": r"gives vectors and no score \(sentence_embedding \(2, 128\).*Use it in the first stage",
    "unnamed-vectors": r"gives vectors and no score \(output \(2, 128\)",
    "each-token": r"a number for each token.*\(logits \(2, 4, 2\).*token classifier or a language model",
    "four-labels": r"has 4 labels: it is a classifier, not a reranker",
    "other-names": r"takes ids, mask, segments, and a cross-encoder's graph takes only input_ids.*resift export",
}


@pytest.mark.parametrize(("form", "message"), REFUSED.items())
def test_a_graph_that_scores_nothing_is_refused_at_load(odd: Folder, form: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        load_scorer(odd(form))
    assert "model.onnx" in str(caught.value)


def test_the_only_graph_is_found_by_any_name(odd: Folder, expected: list[float], tmp_path: Path) -> None:
    for number, name in enumerate(("model_quantized.onnx", "onnx/model_O4.onnx")):
        folder = shutil.copytree(odd("usual"), tmp_path / str(number))
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / "model.onnx").rename(folder / name)
        scorer = load_scorer(folder)
        assert list(scorer.score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)
        assert scorer.identity  # type: ignore[attr-defined]
    shutil.copy(folder / name, folder / "onnx" / "model_int8.onnx")
    with pytest.raises(ModelFileError, match=r"several ONNX graphs.*onnx/model_O4.onnx, onnx/model_int8.onnx.*a copy"):
        load_scorer(folder)
    shutil.copy(folder / name, folder / "model.onnx")
    assert list(load_scorer(folder).score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)


def test_half_precision(odd: Folder, expected: list[float], tmp_path: Path) -> None:
    folder = shutil.copytree(odd("usual"), tmp_path / "half")
    _halve(folder / "model.onnx")
    assert list(load_scorer(folder).score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=5e-3)


def _halve(path: Path) -> None:
    """Make the weights of the last product and the output float16, as converters do with all of them."""
    model = onnx.load(path)
    (output,) = model.graph.output
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == output.name:
                node.output[index] = "whole"
    model.graph.node.append(onnx.helper.make_node("Cast", ["whole"], [output.name], to=onnx.TensorProto.FLOAT16))
    output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, path)


@pytest.mark.parametrize("positions", [-1, 0, None])
@pytest.mark.parametrize("length", [-1, 0, 10**30, None])
def test_a_limit_of_no_number_is_none(odd: Folder, tmp_path: Path, positions: int | None, length: int | None) -> None:
    folder = shutil.copytree(odd("usual"), tmp_path / "model")
    write_settings(folder / "config.json", max_position_embeddings=positions)
    write_settings(folder / "tokenizer_config.json", model_max_length=length)
    assert load_scorer(folder).max_length == 512  # type: ignore[attr-defined]


@pytest.mark.parametrize("length", [-1, 0, 10**30])
def test_torch_takes_no_number_for_no_limit_too(saved: Folder, tmp_path: Path, length: int) -> None:
    folder = shutil.copytree(saved("deberta-v2"), tmp_path / "model")
    expected = list(load_scorer(folder).score(QUERY, DOCUMENTS[:2]))
    write_settings(folder / "tokenizer_config.json", model_max_length=length)
    write_settings(folder / "config.json", max_position_embeddings=0)
    scorer = load_scorer(folder)
    assert scorer.max_length == 512  # type: ignore[attr-defined]
    assert list(scorer.score(QUERY, DOCUMENTS[:2])) == pytest.approx(expected, abs=1e-6)
    write_settings(folder / "config.json", max_position_embeddings=-1)  # which DeBERTa's own code can't take
    with pytest.raises(ModelFileError, match=r"config.json has max_position_embeddings=-1: write the number of tokens"):
        load_scorer(folder)


# A classifier over the last token finds it by the id of the padding, and without one takes no padding at all.


@pytest.fixture(scope="module")
def last_token(build_once: BuildOnce) -> Path:
    def save(folder: Path) -> None:
        config = GPT2Config(
            vocab_size=300, n_layer=2, n_embd=64, n_head=2, num_labels=1, bos_token_id=2, eos_token_id=3
        )
        random_models.save(GPT2ForSequenceClassification(config), random_models._wordpiece(), folder, spread=0.3)
        write_settings(folder / "tokenizer_config.json", pad_token=None)

    return build_once("odd/last-token", save)


def scores_one_by_one(folder: Path, names: tuple[str, ...] = NAMES) -> list[float]:
    """Return the scores without sentence-transformers, which asks for a padding token even where nothing is padded."""
    model = GPT2ForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        rows = [tokenizer([QUERY], [document], return_tensors="pt") for document in DOCUMENTS]
        return [float(model(**{name: row[name] for name in names}).logits) for row in rows]


def write_last_token_graph(source: Path, folder: Path, form: Form, pad_id: int | None) -> Path:
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder)
    write_settings(folder / "config.json", pad_token_id=pad_id)
    model = GPT2ForSequenceClassification.from_pretrained(source, attn_implementation="eager")
    model.config.pad_token_id = pad_id
    odd_graphs.trace(model.eval(), form, folder / "model.onnx")
    return folder


def test_torch_without_a_padding_token(last_token: Path) -> None:
    scores = load_scorer(last_token).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(scores_one_by_one(last_token), abs=1e-4)


def test_a_graph_that_knows_its_padding(last_token: Path, tmp_path: Path) -> None:
    pad_id = Tokenizer.from_file(str(last_token / "tokenizer.json")).token_to_id("[MASK]")
    folder = write_last_token_graph(last_token, tmp_path / "graph", Form(names=NAMES[:2]), pad_id)
    scores = load_scorer(folder).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(scores_one_by_one(last_token, NAMES[:2]), abs=1e-4)


def test_a_graph_without_a_padding_token(last_token: Path, tmp_path: Path) -> None:
    folder = write_last_token_graph(last_token, tmp_path / "graph", Form(names=NAMES[:2], rows=1), None)
    scores = load_scorer(folder).score(QUERY, DOCUMENTS)
    assert list(scores) == pytest.approx(scores_one_by_one(last_token, NAMES[:2]), abs=1e-4)
    fixed = write_last_token_graph(last_token, tmp_path / "fixed", Form(names=NAMES[:2], rows=1, tokens=TOKENS), None)
    with pytest.raises(ModelFileError, match=r"reads exactly 64 tokens.*no padding token: name one as pad_token_id"):
        load_scorer(fixed)


def test_without_a_padding_token_nothing_is_exported(last_token: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no padding token.*pad_token_id"):
        export_model(str(last_token), tmp_path / "exported")
