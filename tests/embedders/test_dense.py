"""The encoder's vectors against sentence-transformers', on a trunk of random weights."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
import split_models
from build_once import BuildOnce
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from resift import (
    DenseEmbedder,
    InputError,
    MemoryFirstStage,
    ModelFileError,
    StaticEmbedder,
    UnknownModelError,
    load_embedder,
)
from resift.models.bundled import bundled_folder
from resift.text.batches import split_into_windows

# Around every edge: nothing, one word, and as many tokens as are read.
TEXTS = [*random_models.documents((1, 3, 8, 20, 20, 43)), "", "."]
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folder(build_once: BuildOnce) -> Path:
    return build_once("split", split_models.export) / "model"


@pytest.fixture(scope="module")
def embedder(folder: Path) -> DenseEmbedder:
    return DenseEmbedder(folder, threads=1)


@pytest.fixture(scope="module")
def reference(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    trunk = tmp_path_factory.mktemp("trunk")
    split_models.trunk().save_pretrained(trunk)
    for file in folder.parent.glob("tokenizer*"):  # the same one
        shutil.copy(file, trunk)
    transformer = Transformer(str(trunk), max_seq_length=split_models.LENGTH)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), "mean"), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu")


def test_vectors_equal_sentence_transformers(embedder: DenseEmbedder, reference: SentenceTransformer) -> None:
    expected = reference.encode(TEXTS)
    expected[TEXTS.index("")] = 0  # sentence-transformers makes a vector of the special tokens alone
    assert np.ptp(expected @ expected.T) > 100 * TOLERANCE, "a model to which all is alike proves nothing"
    np.testing.assert_allclose(embedder.embed(TEXTS), expected, atol=TOLERANCE)


@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
def test_vectors_do_not_depend_on_company_or_order(folder: Path, embedder: DenseEmbedder, batch_tokens: int) -> None:
    expected = dict(zip(TEXTS, embedder.embed(TEXTS), strict=True))
    shuffled = random.Random(3).sample(TEXTS, len(TEXTS))
    found = DenseEmbedder(folder, threads=1, batch_tokens=batch_tokens).embed(shuffled)
    np.testing.assert_allclose(found, [expected[text] for text in shuffled], atol=TOLERANCE)
    for text in TEXTS:
        np.testing.assert_allclose(embedder.embed([text])[0], expected[text], atol=TOLERANCE)


def test_a_long_text_is_read_to_its_end_in_windows(embedder: DenseEmbedder, reference: SentenceTransformer) -> None:
    text = random_models.text(150, seed=2)
    ids = reference.tokenizer(text, add_special_tokens=False)["input_ids"]
    parts = split_into_windows(len(ids), split_models.LENGTH - 2)
    assert len(parts) > 2
    tokens = [[2, *ids[start:stop], 3] for start, stop in parts]
    states = [split_models.vector(ids) for ids in tokens]
    expected = np.mean(states, 0) / np.linalg.norm(np.mean(states, 0))
    np.testing.assert_allclose(embedder.embed([text])[0], expected, atol=TOLERANCE)
    ending = f"{text} {random_models.text(40, seed=5)}"
    assert abs(embedder.embed([text])[0] - embedder.embed([ending])[0]).max() > TOLERANCE


def test_unit_vectors_and_nothing_for_nothing(embedder: DenseEmbedder) -> None:
    vectors = embedder.embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [bool(text) for text in TEXTS], atol=1e-5)
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_it_pickles(embedder: DenseEmbedder) -> None:
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.embed(TEXTS[:2]), embedder.embed(TEXTS[:2]))
    assert (again.name, again.fingerprint) == (embedder.name, embedder.fingerprint)


def test_only_the_encoder_is_opened_and_a_new_reader_keeps_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "reader.onnx").unlink()
    alone = DenseEmbedder(copy, threads=1)
    assert alone.fingerprint == DenseEmbedder(folder, threads=1).fingerprint
    (copy / "encoder.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelFileError, match=r"encoder\.onnx is damaged or was changed"):
        DenseEmbedder(copy)


def test_what_holds_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds a static model, which has no encoder"):
        DenseEmbedder(bundled_folder("static"))
    with pytest.raises(ModelFileError, match=r"no resift\.json"):
        DenseEmbedder(tmp_path)
    with pytest.raises(InputError, match="batch_tokens must be at least 1"):
        DenseEmbedder(batch_tokens=0)


def test_a_name_or_a_folder_says_which_embedder(folder: Path) -> None:
    assert isinstance(load_embedder(), StaticEmbedder)
    assert isinstance(load_embedder("resift:static"), StaticEmbedder)
    assert isinstance(load_embedder(bundled_folder("static")), StaticEmbedder)
    assert isinstance(load_embedder(folder), DenseEmbedder)
    assert load_embedder("resift:dense").name == "resift:dense"
    for name in ("resift:small", "minilm"):
        with pytest.raises(UnknownModelError, match="resift:static, resift:dense"):
            load_embedder(name)


@pytest.mark.parametrize("embedder_class", [StaticEmbedder, DenseEmbedder])
def test_texts_without_a_known_token_are_like_nothing_and_not_like_each_other(embedder_class: type) -> None:
    texts = [
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
        "\u0e02\u0e2d\u0e1a\u0e04\u0e38\u0e13 \u0e04\u0e23\u0e31\u0e1a",
        "",
        "\ud835",
        "\u200b",
        "\U0001f98a",
    ]
    vectors = embedder_class().embed([*texts, f"a fox {texts[0]}"])
    assert np.abs(vectors[:-1]).max() == 0
    assert np.linalg.norm(vectors[-1]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("embedder_class", [StaticEmbedder, DenseEmbedder])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("bamboo", r"texts is one text; give a list of texts, \[text\] for a single one"),
        (None, "texts is a NoneType; give a list"),
        (["bamboo", None], r"texts\[1\] is no text, but None"),
        ([b"bamboo"], r"texts\[0\] is no text, but b'bamboo'"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(embedder_class: type, texts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embedder_class().embed(texts)


def test_it_serves_as_a_first_stage(embedder: DenseEmbedder) -> None:
    stage = MemoryFirstStage(TEXTS[:4], embedder)
    assert stage.retrieve(TEXTS[2], 1)[0].text == TEXTS[2]


def test_the_bundled_one_finds_what_is_near() -> None:
    query, near, far = DenseEmbedder(threads=1).embed(["a hungry fox", "the fox wanted food", "tax law"])
    assert query @ near > query @ far + 0.2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_embeds_too(folder: Path) -> None:
    embedder = DenseEmbedder(folder)
    expected = embedder.embed(["panda tree"])  # the parent's session runs before the fork
    child = os.fork()
    if child == 0:
        same = np.allclose(embedder.embed(["panda tree"]), expected, atol=1e-6)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
