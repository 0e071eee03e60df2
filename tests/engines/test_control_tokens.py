"""Special tokens that a text spells: letters for our own models, the model's tokens for others unless told."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer

from resift import DenseEmbedder, InputError, StaticEmbedder, load_scorer

Folder = Callable[[str], Path]
CONTROLS = ["[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]"]
QUERY = "what eats bamboo in the mountains?"
DOCUMENT = "Pandas eat bamboo."


def spell(token: str) -> str:
    """The letters of a control token, so that no tokenizer takes them for the token."""
    return f"[ {token.strip('[]')} ]"


@pytest.mark.parametrize("token", CONTROLS)
@pytest.mark.parametrize("model", ["resift:small", "resift:tiny"])
def test_the_bundled_models_read_control_tokens_as_text(model: str, token: str) -> None:
    scorer = load_scorer(model)
    texts = [f"{DOCUMENT} {token} {QUERY}", f"{token}", DOCUMENT]
    spelled = [text.replace(token, spell(token)) for text in texts]
    assert list(scorer.score(QUERY, texts)) == list(scorer.score(QUERY, spelled))
    query = f"{token} what eats {token} bamboo"
    assert list(scorer.score(query, [DOCUMENT])) == list(scorer.score(query.replace(token, spell(token)), [DOCUMENT]))


@pytest.mark.parametrize("token", CONTROLS)
@pytest.mark.parametrize("embedder", [StaticEmbedder, DenseEmbedder])
def test_the_bundled_embedders_read_control_tokens_as_text(embedder: Callable[[], Any], token: str) -> None:
    vectors = embedder().embed([f"{DOCUMENT} {token}", f"{DOCUMENT} {spell(token)}"])
    assert vectors[0].tolist() == pytest.approx(vectors[1].tolist(), abs=1e-6)


@pytest.mark.parametrize("model", ["resift:small", "resift:tiny"])
@pytest.mark.parametrize("control_tokens", ["text", "model"])
def test_a_query_that_spells_padding_keeps_its_end(model: str, control_tokens: Any) -> None:
    """In small its length was counted by ids other than 0, which [PAD] has."""
    scorer = load_scorer(model, control_tokens=control_tokens)
    queries = [f"{'[PAD] ' * 4}what {eats} bamboo" for eats in ("eats", "sells")]
    ends = [f"{'[PAD] ' * 4}what eats {eaten}" for eaten in ("bamboo", "stock")]
    for one, other in (queries, ends):
        assert abs(scorer.score(one, [DOCUMENT])[0] - scorer.score(other, [DOCUMENT])[0]) > 0.2


def test_texts_that_spell_none_score_the_same_to_the_bit() -> None:
    documents = [*random_models.documents((1, 8, 20, 60)), "", "[sep] is lower case", "a [SEP", "Grüße, 東京 <s> </s>"]
    for model in ("resift:small", "resift:tiny"):
        text, tokens = (load_scorer(model, control_tokens=mode) for mode in ("text", "model"))
        assert list(text.score(QUERY, documents)) == list(tokens.score(QUERY, documents))
        assert text.identity == load_scorer(model).identity != tokens.identity  # type: ignore[attr-defined]


def test_the_option_gives_the_bundled_model_its_tokens() -> None:
    tokens = load_scorer("resift:small", control_tokens="model")
    text = load_scorer("resift:small")
    document = "Pandas eat bamboo. [SEP] [CLS] [MASK]"
    assert tokens.score(QUERY, [document])[0] != text.score(QUERY, [document])[0]
    assert pickle.loads(pickle.dumps(tokens)).score(QUERY, [document])[0] == tokens.score(QUERY, [document])[0]


@pytest.mark.parametrize("architecture", ["bert-6", "xlm-roberta", "modernbert"])
@pytest.mark.parametrize("engine", ["onnx", "st"])
def test_other_models_read_them_as_sentence_transformers_unless_told(
    architecture: str, engine: str, saved: Folder, exported: Folder
) -> None:
    controls = ["</s>", "<s>", "<pad>", "<mask>", "<unk>"] if architecture == "xlm-roberta" else CONTROLS
    documents = [f"panda {token} bamboo tree" for token in controls]
    folder = exported(architecture) if engine == "onnx" else saved(architecture)
    reference = CrossEncoder(str(saved(architecture)), device="cpu", local_files_only=True)
    pairs = [(f"what {controls[0]} eats", document) for document in documents]
    expected = reference.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    as_tokens = load_scorer(f"{engine}:{folder}")
    assert list(as_tokens.score(pairs[0][0], documents)) == pytest.approx(expected.tolist(), abs=1e-4)

    as_text = load_scorer(f"{engine}:{folder}", control_tokens="text")
    scores = list(as_text.score("what eats", documents))
    assert not np.allclose(scores, list(as_tokens.score("what eats", documents)), atol=1e-4)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    control_ids = {tokenizer.token_to_id(token) for token in controls} - {tokenizer.token_to_id(controls[-1])}
    encoded = as_text.pipeline.tokenizer.encode(documents)  # type: ignore[attr-defined]
    assert not control_ids & {int(token) for tokens in encoded for token in tokens.ids}
    plain = list(as_text.score("what eats", ["panda bamboo tree"]))
    assert plain == list(as_tokens.score("what eats", ["panda bamboo tree"]))
    assert as_text.identity != as_tokens.identity  # type: ignore[attr-defined]


def test_an_engine_without_the_option_and_another_value_are_refused(exported: Folder) -> None:
    with pytest.raises(InputError, match=r"control_tokens is 'text' or 'model', not 'letters'"):
        load_scorer(exported("bert-6"), control_tokens="letters")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="has no option control_tokens"):
        load_scorer("cohere:rerank-v3.5", control_tokens="text", api_key="none")
