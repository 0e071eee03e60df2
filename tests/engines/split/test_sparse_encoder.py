"""Lexical matching in the split network, against SPLADE read plainly with transformers' own masked language model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import random_models
import torch
from split_models import trunk
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM

from resift import load_scorer
from resift.engines.split.reader import graph_opener
from resift.engines.split.sparse_encoder import TERMS_PER_QUERY, SparseEncoder
from resift.errors import ModelFileError
from resift.export.restore import read_network
from resift.export.split import export_split
from resift.models.manifest import Manifest
from resift.networks.splade import SparseEncoderModule, match
from resift.networks.split import SplitModule
from resift.testing import check_scorer

LEXICAL = 3.0
QUERY, DOCUMENTS = "what eats bamboo", [*random_models.documents((1, 4, 9, 40, 60)), "panda eats bamboo panda"]


@pytest.fixture(scope="module")
def sparse() -> BertForMaskedLM:
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_attention_heads=2, intermediate_size=64, num_hidden_layers=2
    )
    model = BertForMaskedLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def network(sparse: BertForMaskedLM) -> SplitModule:
    made = SplitModule(trunk(), separate=2, slope=7.0, bias=-1.5, terms=SparseEncoderModule(sparse))
    torch.manual_seed(6)
    for name, parameter in made.named_parameters():  # equal tensors are exported once, and read back as one
        if not name.startswith("terms."):
            parameter.data += 0.02 * torch.randn_like(parameter)
    torch.nn.init.normal_(made.lexical_gate, std=0.5)
    made.lexical.data.fill_(LEXICAL)
    return made.eval()


def export(network: SplitModule, folder: Path, precision: str = "float32") -> Path:
    random_models._wordpiece().save_pretrained(folder)
    manifest = Manifest("split", "split", document_length=128, query_length=64, precision=precision)
    export_split(network, folder / "tokenizer.json", folder / "model", manifest)
    return folder / "model"


def weights_of(sparse: BertForMaskedLM, ids: list[int]) -> torch.Tensor:
    """SPLADE's vector of a text, (vocabulary,), one text at a time."""
    with torch.inference_mode():
        return sparse(torch.tensor([ids])).logits[0].relu().log1p().amax(0)


def weighted_match(sparse: BertForMaskedLM, query_ids: list[int], document_ids: list[int]) -> float:
    """The dot product over the query's strongest terms, as a share of what the query looks for."""
    query, document = weights_of(sparse, query_ids), weights_of(sparse, document_ids)
    found = query.topk(TERMS_PER_QUERY).indices
    return float(query[found] @ document[found] / query[found].sum())


def tokens(folder: Path, text: str) -> list[int]:
    return Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids


def test_terms_match_as_the_sparse_encoder_says(sparse: BertForMaskedLM, network: SplitModule, tmp_path: Path) -> None:
    folder = export(network, tmp_path)
    expected = [weighted_match(sparse, tokens(folder, QUERY), tokens(folder, text)) for text in DOCUMENTS]
    assert max(expected) - min(expected) > 0.001, "a match that is always the same proves nothing"
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(tokens(folder, text)) for text in DOCUMENTS], batch_first=True)
    with torch.inference_mode():
        query = network.encode_queries(torch.tensor([tokens(folder, QUERY)]))
        document = network.encode(ids)
        found = match(query.terms.expand(len(ids), -1, -1), document.states[..., network.width :], document.mask)
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_a_document_that_speaks_against_a_term_counts_as_one_that_says_nothing_of_it() -> None:
    terms = torch.tensor([[[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5]]])  # two terms: vector, bias, share
    states = torch.tensor([[[-9.0, 3.0], [-0.5, 1.0], [7.0, 7.0]]])  # the last is padding
    text = torch.tensor([[1.0, 1.0, 0.0]])
    expected = pytest.approx([0.5 * np.log1p(3.0)])
    assert match(terms, states, text).tolist() == expected
    assert SparseEncoder.match(terms.numpy(), states.numpy(), text.numpy() > 0).tolist() == expected


def test_the_exported_graphs_equal_the_network(network: SplitModule, tmp_path: Path) -> None:
    folder = export(network, tmp_path)
    with torch.inference_mode():
        query = network.encode_queries(torch.tensor([tokens(folder, QUERY)]))
        expected = [
            float(network.score(query, network.encode(torch.tensor([tokens(folder, text)])))) for text in DOCUMENTS
        ]
    scorer = load_scorer(folder, batch_tokens=200)
    assert list(scorer.score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=1e-4)
    check_scorer(scorer)
    kept = load_scorer(folder, keep_states=1 << 20)
    assert list(kept.score(QUERY, DOCUMENTS)) == list(kept.score(QUERY, DOCUMENTS)), "computed or kept: the same"
    assert list(kept.score(QUERY, DOCUMENTS)) == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize(("precision", "apart"), [("int8", 1e-3), ("int8-dynamic", 0.1)])
def test_what_was_exported_is_read_back(network: SplitModule, precision: str, apart: float, tmp_path: Path) -> None:
    folder = export(network, tmp_path, precision)
    back = read_network(folder)
    ids = torch.tensor([tokens(folder, QUERY)])
    scorer = load_scorer(folder)
    with torch.inference_mode():
        logit = float(back.score(back.encode_queries(ids), back.encode(ids)))
    assert scorer.score(QUERY, [QUERY])[0] == pytest.approx(logit, abs=apart)
    assert network.terms is not None
    assert back.terms is not None
    assert back.terms.heads == network.terms.heads


def test_a_query_that_stands_for_nothing_matches_nothing(network: SplitModule) -> None:
    assert network.terms is not None
    silent = network.terms.expand(torch.zeros(1, 3, 32), torch.zeros(1, 3))  # no token at all
    assert match(silent, torch.randn(1, 5, 32), torch.ones(1, 5)).tolist() == [0.0]


def test_a_vocabulary_that_is_none_is_told(network: SplitModule, tmp_path: Path) -> None:
    folder = export(network, tmp_path)
    np.savez(folder / "vocabulary.npz", something=np.zeros(3))
    manifest = Manifest.peek(folder)
    manifest.write(folder, manifest.files)
    with pytest.raises(ModelFileError, match="can't be read as a vocabulary"):
        load_scorer(folder)


def test_the_table_of_terms_stays_in_8_bits_and_gives_the_same_terms(network: SplitModule, tmp_path: Path) -> None:
    folder = export(network, tmp_path, "int8")
    sparse = SparseEncoder.load(folder, Manifest.peek(folder), graph_opener(1))
    assert sparse.numbers.dtype == np.int8
    with np.load(folder / "vocabulary.npz") as stored:
        table, bias = stored["table"] * stored["scales"], stored["bias"]
    states = np.random.default_rng(3).normal(size=(5, sparse.width)).astype(np.float32)
    logits = sparse.size * (states @ table.T).max(0) + bias
    strongest = np.argsort(-logits, kind="stable")[:TERMS_PER_QUERY]
    terms = sparse.expand(states)
    assert terms[:, :-2] == pytest.approx(sparse.size * table[strongest], abs=1e-6)
    assert terms[:, -2].tolist() == bias[strongest].tolist()


def test_the_vocabulary_is_stored_once(network: SplitModule, tmp_path: Path) -> None:
    graph = onnx.load(export(network, tmp_path) / "terms.onnx").graph
    assert not [tensor.name for tensor in graph.initializer if 300 in tensor.dims]
