"""The split network's graphs against a plain reading of its definition, on a trunk of random weights."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import onnx
import pytest
import random_models
import torch
from transformers import BertConfig, BertModel

from resift import Reranker, load_scorer
from resift.demo import AMBIGUOUS, AMBIGUOUS_DOCUMENTS
from resift.explanation.explain import ROUNDING
from resift.export import restore
from resift.export.restore import read_network
from resift.export.split import export_split
from resift.models.bundled import KNOWN_SCORES, KNOWN_SCORES_DOCUMENTS, KNOWN_SCORES_QUERY, bundled_folder
from resift.models.manifest import Manifest
from resift.networks.split import Reader, SplitModule
from resift.testing import check_scorer

SEPARATE, SLOPE, BIAS, LENGTH = 2, 7.0, -1.5, 2.5
LENGTHS = ("length", "brevity")


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


@pytest.fixture(scope="module")
def network(trunk: BertModel) -> SplitModule:
    torch.manual_seed(4)
    module = SplitModule(trunk, SEPARATE, SLOPE, BIAS)
    for parameter in (*module.reader.parameters(), module.gate):
        torch.nn.init.normal_(parameter, std=0.15)
    torch.nn.init.constant_(module.length, LENGTH)
    return module.eval()


def export(network: SplitModule, folder: Path, precision: str = "float32") -> Path:
    tokenizer = random_models._wordpiece()
    tokenizer.save_pretrained(folder)
    manifest = Manifest("split", "split", document_length=128, query_length=64, precision=precision)
    export_split(network, folder / "tokenizer.json", folder / "model", manifest)
    return folder / "model"


def reference(trunk: BertModel, network: SplitModule, folder: Path, query: str, document: str) -> float:
    """With transformers' own layers, one pair at a time, no padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with torch.inference_mode():
        query_ids, document_ids = (tokenizer.encode(text).ids for text in (query, document))
        parts, vectors = [], []
        for ids in (query_ids, document_ids):
            states = trunk.embeddings(torch.tensor([ids]))
            for number, layer in enumerate(trunk.encoder.layer):
                if number == SEPARATE:
                    parts.append(states[0])
                states = _first_output(layer(states))
            vectors.append(states[0].mean(0))
        cosine = float(torch.cosine_similarity(*vectors, dim=0))
        gate = math.exp(float(vectors[0] / vectors[0].norm() @ network.gate))
        prior = LENGTH * math.exp(-(len(query_ids) - 2) / 12) * math.log(max(len(document_ids), 24) / 24) / 6
        return SLOPE * gate * cosine + _mean_vote(network.reader, query_ids, document_ids, *parts) + BIAS + prior


def _mean_vote(
    reader: Reader, query_ids: list[int], document_ids: list[int], query: torch.Tensor, document: torch.Tensor
) -> float:
    """Token by token, head by head."""
    total = weights = 0.0
    heads = reader.heads
    keys = [document @ weights.T for weights in reader.key]
    values = [
        document @ weights + bias for weights, bias in zip(reader.value, reader.value_bias.chunk(heads), strict=True)
    ]
    for position, token in enumerate(query):
        best = max(
            float(torch.cosine_similarity(token @ reader.asked, other @ reader.read, dim=0)) for other in document
        )
        count = document_ids.count(query_ids[position])
        pairs = [document_ids[start : start + 2] for start in range(len(document_ids) - 1)]
        is_pair = position + 1 < len(query_ids) and query_ids[position : position + 2] in pairs
        clues = torch.tensor([best, count / (count + 1), float(is_pair), math.log(len(document_ids)) / 6])
        state = token + clues @ reader.clues
        heads_output = [
            torch.softmax(key @ part / math.sqrt(len(part)), 0) @ value
            for part, key, value in zip(reader.query(state).chunk(heads), keys, values, strict=True)
        ]
        state = reader.first(state + reader.mixed(torch.cat(heads_output)))
        state = reader.second(state + reader.down(torch.nn.functional.gelu(reader.up(state))))
        vote = float(reader.scale) * best + float(state @ reader.vote)
        weight = math.log1p(math.exp(float(token @ reader.weight)))
        total, weights = total + weight * vote, weights + weight
    return total / weights


def _first_output(output: object) -> torch.Tensor:
    """Layers returned a tuple before transformers 5."""
    return output[0] if isinstance(output, tuple) else output  # type: ignore[return-value]


def test_the_exported_graphs_equal_the_definition(trunk: BertModel, network: SplitModule, tmp_path: Path) -> None:
    folder = export(network, tmp_path)
    query, documents = "what eats bamboo", [*random_models.documents((1, 4, 9, 40, 70)), "panda eats bamboo panda"]
    expected = [reference(trunk, network, folder, query, document) for document in documents]
    assert max(expected) - min(expected) > 0.01, "a model that scores everything alike proves nothing"
    scorer = load_scorer(folder, batch_tokens=200)
    assert list(scorer.score(query, documents)) == pytest.approx(expected, abs=1e-4)
    check_scorer(scorer)


def test_length_counts_for_a_passage_more_than_for_a_sentence_and_less_in_a_long_query(network: SplitModule) -> None:
    short, long = torch.ones(1, 6, dtype=torch.int64), torch.ones(1, 60, dtype=torch.int64)
    sizes = (5, 24, 25, 96)
    with torch.inference_mode():
        texts = [network.encode(torch.ones(1, size, dtype=torch.int64)) for size in sizes]
        found = [
            [float(network.length_prior(network.encode(query), text)) for text in texts] for query in (short, long)
        ]
    assert found[0][:2] == found[1][:2] == [0, 0]
    assert 0 < found[0][2] < found[0][3] == pytest.approx(LENGTH * math.exp(-4 / 12) * math.log(4) / 6)
    assert found[1][3] < found[0][3] / 50


@pytest.mark.parametrize(("tokens", "share"), [(1, 1.0), (2, 1.0), (3, 0.5), (4, 0.0), (9, 0.0)])
def test_brevity_counts_for_the_best_cosines_of_a_query_of_up_to_three_tokens(
    trunk: BertModel, tokens: int, share: float
) -> None:
    network = SplitModule(trunk, SEPARATE, SLOPE, BIAS).eval()
    query, document = torch.tensor([[2, *range(50, 50 + tokens), 3]]), torch.tensor([[2, 60, 51, 70, 3]])
    with torch.inference_mode():
        plain = network.score(asked := network.encode(query), read := network.encode(document))
        best = network.reader._best_cosines(asked, read)  # all weights are equal before training
        network.brevity.fill_(2.0)
        brief = network.score(asked, read)
    expected = 2 * share * network.reader.scale.item() * (best.mean().item() - 0.64)
    assert (brief - plain).item() == pytest.approx(expected, abs=1e-5)


def test_brevity_is_exported_and_explained(network: SplitModule, tmp_path: Path) -> None:
    brief = copy.deepcopy(network)
    torch.nn.init.constant_(brief.brevity, 2.0)
    folder, plain = export(brief, tmp_path / "brief"), export(network, tmp_path / "plain")
    for query, differs in (("panda", True), ("what eats bamboo and where does it live", False)):
        (hit,), (other,) = (Reranker(path).rank(query, ["a panda tree"]) for path in (folder, plain))
        assert (abs(hit.score - other.score) > 0.01) == differs
        parts = dict(Reranker(folder).explain(query, "a panda tree").parts)
        assert parts.pop(ROUNDING) == pytest.approx(0, abs=1e-3)
        assert sum(parts.values()) == pytest.approx(hit.score, abs=1e-3)


def test_of_the_two_meanings_in_the_demo_the_animal_is_clearly_first() -> None:
    scores = load_scorer("resift:small").score(AMBIGUOUS.text, [AMBIGUOUS.answer, *AMBIGUOUS_DOCUMENTS])
    assert scores[0] == scores[2] > scores[1] + 0.3
    # Whole questions are untouched: they say which sense they mean.
    assert list(load_scorer("resift:small").score(KNOWN_SCORES_QUERY, list(KNOWN_SCORES_DOCUMENTS))) == pytest.approx(
        KNOWN_SCORES["small"], abs=0.02
    )


def test_a_graph_of_an_earlier_version_has_no_length(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bundled_folder("small")
    assert (read_network(folder).length.item(), read_network(folder).brevity.item()) == (1.5, 2)
    tensors = restore._tensors

    def without_length(*graphs: onnx.ModelProto, **options: str) -> dict[str, torch.Tensor]:
        return {name: values for name, values in tensors(*graphs, **options).items() if name not in LENGTHS}

    monkeypatch.setattr(restore, "_tensors", without_length)
    assert (read_network(folder).length.item(), read_network(folder).brevity.item()) == (0, 0)


def test_int8_stays_close_and_independent_of_the_batch(network: SplitModule, tmp_path: Path) -> None:
    exact, rounded = (load_scorer(export(network, tmp_path / name, name)) for name in ("float32", "int8"))
    documents = random_models.documents((1, 4, 9, 40))
    assert list(rounded.score("panda", documents)) == pytest.approx(list(exact.score("panda", documents)), abs=0.25)
    check_scorer(rounded)


def test_the_untrained_reader_is_late_interaction_alone(trunk: BertModel) -> None:
    network = SplitModule(trunk, SEPARATE, SLOPE, BIAS).eval()
    ids = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
    with torch.inference_mode():
        query = network.encode(ids)
        best = network.reader._best_cosines(query, query)
        mean = (best * query.mask).sum(1) / query.mask.sum(1)
        assert torch.allclose(network.reader(query, query), network.reader.scale * mean, atol=1e-5)


def test_float32_graphs_have_standard_operators_alone(network: SplitModule, tmp_path: Path) -> None:
    folder = export(network, tmp_path)
    nodes = [node for name in ("encoder", "reader") for node in onnx.load(folder / f"{name}.onnx").graph.node]
    assert {node.domain for node in nodes} == {""}
