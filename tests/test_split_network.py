"""The split network's graphs against a plain reading of its definition, on a trunk of random weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import random_models
import torch
from transformers import BertConfig, BertModel

from resift import load_scorer
from resift.export.split import export_split
from resift.export.split_network import Match, SplitNetwork
from resift.manifest import Manifest
from resift.testing import check_scorer

SEPARATE, SLOPE, BIAS = 2, 7.0, -1.5


@pytest.fixture(scope="module")
def trunk() -> BertModel:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=300, hidden_size=96, num_attention_heads=4, intermediate_size=192, num_hidden_layers=4
    )
    model = BertModel(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


@pytest.fixture(scope="module", params=[False, True], ids=["cosine alone", "with match"])
def match(request: pytest.FixtureRequest) -> Match | None:
    if not request.param:
        return None
    torch.manual_seed(4)
    made = Match(96, dimensions=32, scale=5.0)
    for parameter in (made.query, made.document, made.weight):
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def export(trunk: BertModel, folder: Path, precision: str = "float32", match: Match | None = None) -> Path:
    tokenizer = random_models._wordpiece()
    tokenizer.save_pretrained(folder)
    manifest = Manifest("split", "split", document_length=128, query_length=64, precision=precision)
    network = SplitNetwork(trunk, SEPARATE, SLOPE, BIAS, match).eval()
    export_split(network, folder / "tokenizer.json", folder / "model", manifest)
    return folder / "model"


def reference(trunk: BertModel, folder: Path, query: str, document: str, match: Match | None) -> float:
    """With transformers' own layers, one pair at a time, no padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with torch.inference_mode():
        parts = [trunk.embeddings(torch.tensor([tokenizer.encode(text).ids])) for text in (query, document)]
        for layer in trunk.encoder.layer[:SEPARATE]:
            parts = [_states(layer(part)) for part in parts]
        joint = torch.cat(parts, 1)
        for layer in trunk.encoder.layer[SEPARATE:]:
            joint = _states(layer(joint))
        cut = parts[0].shape[1]
        one, two = joint[0, :cut].mean(0), joint[0, cut:].mean(0)
        logit = SLOPE * float(torch.cosine_similarity(one, two, dim=0)) + BIAS
        return logit if match is None else logit + _late_interaction(match, parts[0][0], parts[1][0])


def _late_interaction(match: Match, query: torch.Tensor, document: torch.Tensor) -> float:
    """Token by token, as the papers write it."""
    total = weights = 0.0
    for token in query:
        best = max(float(torch.cosine_similarity(token @ match.query, one @ match.document, dim=0)) for one in document)
        weight = math.log1p(math.exp(float(token @ match.weight)))
        total, weights = total + weight * best, weights + weight
    return float(match.scale) * total / weights


def _states(output: object) -> torch.Tensor:
    """Layers returned a tuple before transformers 5."""
    return output[0] if isinstance(output, tuple) else output  # type: ignore[return-value]


def test_the_exported_graphs_equal_the_definition(trunk: BertModel, match: Match | None, tmp_path: Path) -> None:
    folder = export(trunk, tmp_path, match=match)
    query, documents = "what eats bamboo", random_models.documents((1, 4, 9, 40, 90))
    expected = [reference(trunk, folder, query, document, match) for document in documents]
    assert max(expected) - min(expected) > 0.01, "a model that scores everything alike proves nothing"
    scorer = load_scorer(folder, batch_tokens=200)
    assert list(scorer.score(query, documents)) == pytest.approx(expected, abs=1e-4)
    check_scorer(scorer)


def test_int8_stays_close_and_independent_of_the_batch(trunk: BertModel, match: Match | None, tmp_path: Path) -> None:
    exact = load_scorer(export(trunk, tmp_path / "a", match=match))
    rounded = load_scorer(export(trunk, tmp_path / "b", "int8", match))
    documents = random_models.documents((1, 4, 9, 40))
    assert list(rounded.score("panda", documents)) == pytest.approx(list(exact.score("panda", documents)), abs=0.2)
    check_scorer(rounded)
