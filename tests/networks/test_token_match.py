"""A split network without a sparse encoder: the query's own tokens are matched, the rare ones counting more."""

from __future__ import annotations

from pathlib import Path

import pytest
import random_models
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from transformers import BertConfig, BertModel

from resift import load_scorer
from resift.export.restore import read_network, read_tokenizer
from resift.export.split import export_split
from resift.models.manifest import Manifest
from resift.networks.split import SplitModule, match_tokens
from resift.training.split_cross_encoder import READER_FILE, SplitPairs

CONTROL = 3  # ids below this: rarity 0
PREFIX = 4


@pytest.fixture(scope="module")
def network() -> SplitModule:
    torch.manual_seed(5)
    trunk = BertModel(
        BertConfig(vocab_size=300, hidden_size=32, num_attention_heads=2, intermediate_size=64, num_hidden_layers=2)
    )
    rarity = torch.arange(300) % 200 + 30
    rarity[[*range(CONTROL), PREFIX]] = 0
    module = SplitModule(trunk, 1, 7.0, 0.5, rarity=rarity)
    for parameter in module.parameters():  # all of them: equal ones would be exported once
        parameter.data += torch.randn_like(parameter) * 0.1
    return module.eval()


def test_the_match_is_the_share_of_the_query_that_a_document_has(network: SplitModule) -> None:
    assert network.rarity is not None
    with torch.inference_mode():
        query = network.encode(torch.tensor([[1, PREFIX, 50, 60, 2], [1, PREFIX, 50, 60, 2], [1, PREFIX, 2, 0, 0]]))
        document = network.encode(
            torch.tensor([[1, PREFIX, 60, 60, 70, 2], [1, PREFIX, 70, 2, 0, 0], [1, 50, 2, 0, 0, 0]])
        )
        matched = match_tokens(query, document, network.rarity)
    # Rarities are 80 and 90; a token that is there twice counts 2 / 3; nothing is there of a query without text.
    assert matched.tolist() == pytest.approx([2 / 3 * 90 / 170, 0, 0])


def test_control_tokens_of_a_query_have_no_vote(network: SplitModule) -> None:
    with torch.inference_mode():
        query = network.encode(torch.tensor([[1, PREFIX, 50, 60, 2]]))
        document = network.encode(torch.tensor([[1, PREFIX, 60, 70, 2]]))
        cosine = (query.vector * document.vector).sum(-1)
        words = query._replace(ids=torch.tensor([[0, 0, 50, 60, 0]]))
        expected = (
            network.slope * (query.vector @ network.gate).squeeze(-1).exp() * cosine
            + network.reader(words, document, network.emphasis(words))
            + network.lexical
            * (query.vector @ network.lexical_gate).squeeze(-1).exp()
            * match_tokens(query, document, network.rarity)
            + network.bias
        )
        assert torch.allclose(network.score(query, document), expected)
        nothing = network.encode(torch.tensor([[1, PREFIX, 2]]))
        assert torch.isfinite(network.score(nothing, document)).all()


@pytest.mark.parametrize("precision", ["float32", "int8-dynamic"])
def test_the_graphs_score_as_the_network_and_give_it_back(network: SplitModule, tmp_path: Path, precision: str) -> None:
    random_models._wordpiece().save_pretrained(tmp_path)
    manifest = Manifest("tokens", "split", document_length=128, query_length=64, precision=precision)
    folder = tmp_path / "model"
    export_split(network, tmp_path / "tokenizer.json", folder, manifest)
    back = read_network(folder)
    assert torch.equal(back.rarity, network.rarity)
    texts = ["panda eats bamboo", *random_models.documents((1, 4, 9, 40))]
    tokenizer = read_tokenizer(folder)
    with torch.inference_mode():
        query, *documents = (back.encode(torch.tensor([tokenizer(text)["input_ids"]])) for text in texts)
        expected = [float(back.score(query, document)) for document in documents]
    tolerance = 1e-4 if precision == "float32" else 0.3
    assert list(load_scorer(folder).score(texts[0], texts[1:])) == pytest.approx(expected, abs=tolerance)


def test_rescaling_changes_every_part_of_the_score(network: SplitModule) -> None:
    with torch.inference_mode():
        query = network.encode(torch.tensor([[1, PREFIX, 50, 60, 2]]))
        document = network.encode(torch.tensor([[1, PREFIX, 60, 70, 2]]))
        before = network.score(query, document)
        network.rescale(2.0, -1.0)
        after = network.score(query, document)
        network.rescale(0.5, 0.5)
        assert torch.allclose(after, 2 * before - 1, atol=1e-5)
        assert torch.allclose(network.score(query, document), before, atol=1e-5)


def test_training_starts_with_the_rarity_of_the_base(network: SplitModule, tmp_path: Path) -> None:
    assert network.rarity is not None
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_attention_heads=2, intermediate_size=64, num_hidden_layers=2
    )
    BertModel(config).save_pretrained(tmp_path)
    random_models._wordpiece().save_pretrained(tmp_path)
    save_file({"rarity": network.rarity, "slope": torch.tensor(40.0)}, tmp_path / READER_FILE)
    started = SplitPairs.start(str(tmp_path), 1, 64, frozen=True).network
    assert started.rarity is not None
    assert torch.equal(started.rarity, network.rarity)
    assert (started.slope.item(), started.lexical.item()) == (40, 4)


def test_a_tokenizer_without_brackets_gets_none(tmp_path: Path) -> None:
    pieces = ["<pad>", "<s>", "</s>", "<unk>", "▁", "[", "]", "SEP"]
    tokenizer = Tokenizer(Unigram([(piece, -1.0) for piece in pieces], unk_id=3, byte_fallback=False))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    read = read_tokenizer(tmp_path)
    assert max(read("[SEP]")["input_ids"]) < len(pieces)
