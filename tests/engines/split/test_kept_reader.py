"""The reader of kept states multiplies integers: nearly the scores of the reader in float32, whatever is in a batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import random_models
import split_models
import torch
from build_once import BuildOnce
from onnx import numpy_helper
from transformers import BertConfig, BertForMaskedLM

from resift.engines.common import session as sessions
from resift.engines.onnx import OnnxScorer
from resift.engines.split import reader
from resift.engines.split.reader import SplitNetwork, open_session
from resift.engines.split.states import DocumentState, stack
from resift.export.kept_reader import add_kept_reader, write_kept_reader
from resift.models.bundled import bundled_folder
from resift.models.manifest import KEPT_READER, READER, Manifest
from resift.networks.kept import KeptReader
from resift.networks.splade import SparseEncoderModule
from resift.networks.split import EncodedBatch, SplitModule
from resift.scorer import Request

QUERIES = ("what eats bamboo", "panda", "where does the river panda eat stone and bamboo")
DOCUMENTS = random_models.documents((1, 5, 12, 30, 45, 7, 30))
CLOSE = 1e-5  # another batch is another order of the same float32 sums


@pytest.fixture(scope="module", params=["plain", "rarity"])
def folder(request: pytest.FixtureRequest, build_once: BuildOnce) -> Path:
    if request.param == "plain":
        return build_once("split", split_models.export) / "model"
    return build_once("multilingual", split_models.export_multilingual) / "model"


@pytest.fixture(scope="module")
def with_terms() -> SplitModule:
    """A network with a sparse encoder beside the trunk."""
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_attention_heads=2, intermediate_size=64, num_hidden_layers=1
    )
    network = SplitModule(
        split_models.trunk(), separate=2, slope=7.0, terms=SparseEncoderModule(BertForMaskedLM(config).eval())
    )
    for parameter in (*network.reader.parameters(), network.gate, network.lexical_gate):
        torch.nn.init.normal_(parameter, std=0.15)
    network.length.data.fill_(1.5)
    network.brevity.data.fill_(2.0)
    return network.eval()


@pytest.fixture(scope="module")
def graph(with_terms: SplitModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / KEPT_READER
    write_kept_reader(with_terms, path)
    return path


def scorer(folder: Path, **options: Any) -> OnnxScorer:
    return OnnxScorer(folder, threads=1, **options)


def without_kept_reader(folder: Path, target: Path) -> Path:
    """The same model as an earlier version exported it."""
    target.mkdir()
    manifest = Manifest.read(folder)
    files = [name for name in manifest.files if name != KEPT_READER]
    for name in files:
        (target / name).write_bytes((folder / name).read_bytes())
    manifest.write(target, files)
    return target


def encoded(network: SplitModule, rows: Sequence[Sequence[int]]) -> EncodedBatch:
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, numbers in enumerate(rows):
        ids[row, : len(numbers)] = torch.tensor(numbers)
    with torch.inference_mode():
        return network.encode_queries(ids)


@pytest.mark.parametrize("queries", [1, 3])
def test_the_graph_scores_as_the_network_on_the_same_rounded_states(
    queries: int,
    with_terms: SplitModule,
    graph: Path,
) -> None:
    network = with_terms
    asked = encoded(network, [[2, 17, 40, 250, 3], [2, 9, 3], [2, 40, 41, 42, 43, 44, 45, 3]][:queries])
    documents = encoded(network, [[2, 40, 7, 250, 8, 17, 40, 250, 3], [2, 9, 3], [2, *range(60, 90), 3]])
    lengths = documents.mask.sum(1).int().tolist()
    kept = [
        DocumentState.quantize(states[:length].numpy(), vector.numpy())
        for states, vector, length in zip(documents.states, documents.vector, lengths, strict=True)
    ]
    numbers, scales = (torch.from_numpy(part) for part in stack(kept, documents.ids.shape[1]))
    restored = documents._replace(states=numbers.float() * scales[..., None])
    each = [part[:1].expand(3, *part.shape[1:]) for part in asked] if queries == 1 else asked
    with torch.inference_mode():
        expected = network.score(EncodedBatch(*each), restored).numpy()
        defined = KeptReader(network).eval()(asked, documents.ids, numbers, scales, documents.vector).numpy()
    names = ("query_ids", "query_states", "query_vector", "query_terms")
    inputs = {name: part.numpy() for name, part in zip(names, asked, strict=True) if part is not None}
    inputs |= {
        "document_ids": documents.ids.numpy(),
        "document_numbers": numbers.numpy(),
        "document_scales": scales.numpy(),
        "document_vector": documents.vector.numpy(),
    }
    (scores,) = open_session(graph, 1).run(None, inputs)
    spread = expected.std()
    np.testing.assert_allclose(scores, defined, atol=0.01 * spread)
    np.testing.assert_allclose(scores, expected, atol=0.03 * spread)


def test_a_score_depends_neither_on_the_batch_nor_on_other_queries(folder: Path) -> None:
    keeping = scorer(folder, keep_states=10**7)
    requests = [Request(query, DOCUMENTS) for query in QUERIES]
    together = [list(scores) for scores in keeping.score_many(requests)]
    for query, scores in zip(QUERIES, together, strict=True):
        assert list(keeping.score(query, DOCUMENTS)) == pytest.approx(scores, abs=CLOSE)
        alone = [keeping.score(query, [text])[0] for text in DOCUMENTS]
        assert alone == pytest.approx(scores, abs=CLOSE)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_that_read_parts_of_a_batch_change_no_score(
    threads: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scorer(folder, keep_states=10**7).score(QUERIES[2], DOCUMENTS)
    monkeypatch.setattr(reader, "PART_TOKENS", 16)
    parted = OnnxScorer(folder, threads=threads, keep_states=10**7)
    for _ in range(2):
        assert list(parted.score(QUERIES[2], DOCUMENTS)) == pytest.approx(list(expected), abs=CLOSE)
    with ThreadPoolExecutor(4) as callers:  # more threads than cores, and than sessions that are open
        for scores in callers.map(lambda _: list(parted.score(QUERIES[2], DOCUMENTS)), range(8)):
            assert scores == pytest.approx(list(expected), abs=CLOSE)


def test_an_error_of_a_thread_that_reads_is_raised_where_the_scores_are_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PART_TOKENS", 16)
    parted = OnnxScorer(folder, threads=2, keep_states=10**7)
    network = parted.pipeline.network
    assert isinstance(network, SplitNetwork)

    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(network.reader, "run", fail)
    with pytest.raises(MemoryError, match="no room"):
        parted.score(QUERIES[0], DOCUMENTS)


def test_a_model_of_an_earlier_version_keeps_states_too(folder: Path, tmp_path: Path) -> None:
    earlier = without_kept_reader(folder, tmp_path / "earlier")
    restoring, reading = (scorer(where, keep_states=10**7) for where in (earlier, folder))
    for query in QUERIES:
        restored = restoring.score(query, DOCUMENTS)
        assert list(reading.score(query, DOCUMENTS)) == pytest.approx(list(restored), abs=0.03 * np.std(restored))
        usage = restoring.score(query, DOCUMENTS).usage
        assert usage.states_kept == usage.pairs


def test_a_model_of_an_earlier_version_gets_the_graph_that_an_export_writes(
    build_once: BuildOnce, tmp_path: Path
) -> None:
    folder = build_once("multilingual", split_models.export_multilingual) / "model"
    earlier = without_kept_reader(folder, tmp_path / "earlier")
    for _ in range(2):
        add_kept_reader(earlier)
    Manifest.read(earlier)
    scores, expected = (scorer(where, keep_states=10**7).score(QUERIES[0], DOCUMENTS) for where in (earlier, folder))
    assert list(scores) == pytest.approx(list(expected), abs=0.03 * np.std(expected))


def test_the_reader_of_kept_states_is_opened_only_where_states_are_kept(folder: Path, tmp_path: Path) -> None:
    network = scorer(folder, keep_states=10**7).pipeline.network
    assert isinstance(network, SplitNetwork)
    assert {entry.name for entry in network.reader.get_inputs()} >= {"document_numbers", "document_scales"}
    other = scorer(folder).pipeline.network
    assert isinstance(other, SplitNetwork)
    assert "document_states" in {entry.name for entry in other.reader.get_inputs()}


def test_documents_that_are_read_together_are_encoded_in_batches_of_the_usual_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = scorer(folder, keep_states=10**7, batch_tokens=64)
    network = keeping.pipeline.network
    assert isinstance(network, SplitNetwork)
    shapes: dict[str, list[tuple[int, ...]]] = {"input_ids": [], "document_ids": []}
    for session in (network.encoder.session, network.reader):
        original = session.run

        def record(names: Any, inputs: dict[str, np.ndarray], original: Any = original) -> Any:
            for name, seen in shapes.items():
                if name in inputs:
                    seen.append(inputs[name].shape)
            return original(names, inputs)

        monkeypatch.setattr(session, "run", record)
    scores = keeping.score("bamboo", DOCUMENTS)
    encoded_shapes = shapes["input_ids"][1:]  # the first is the query
    assert len(encoded_shapes) > len(shapes["document_ids"])
    assert all(rows == 1 or rows * tokens <= 64 for rows, tokens in encoded_shapes)
    assert scores.usage.padded_tokens == sum(rows * tokens for rows, tokens in encoded_shapes)
    assert scores.usage.batches == len(shapes["document_ids"])


def test_two_products_of_the_bundled_reader_fit_into_16_bits() -> None:
    """Processors without 8-bit dot products add two of them, and cut off what doesn't fit."""
    graph = onnx.load(bundled_folder("small") / KEPT_READER).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    weights = [node for node in products if node.input[1] in constants]
    assert (len(products), len(weights)) == (5, 3)
    for node in weights:  # with numbers of 8 bits
        assert np.abs(constants[node.input[1]].astype(int)).max() == 63
    for node in products:
        if node not in weights:  # with states of 8 bits
            assert constants[node.input[4]] == 64
    rows = [
        constants[name]
        for node in products
        for name in _inputs(makers, node.input[0])
        if name in constants and constants[name].dtype == np.uint8 and constants[name].ndim == 3
    ]
    assert rows
    assert all(part.min() >= 1 and part.max() <= 127 for part in rows)


def _inputs(makers: dict[str, onnx.NodeProto], name: str) -> set[str]:
    """Names that a tensor is joined of."""
    maker = makers.get(name)
    if maker is None or maker.op_type not in ("Concat", "Expand"):
        return {name}
    return {found for part in maker.input for found in _inputs(makers, part)}


def test_a_damaged_kept_reader_is_told(folder: Path, tmp_path: Path) -> None:
    damaged = without_kept_reader(folder, tmp_path / "damaged")
    (damaged / KEPT_READER).write_bytes((damaged / READER).read_bytes())
    Manifest.read(damaged).write(damaged, [*Manifest.read(damaged).files, KEPT_READER])
    with pytest.raises(Exception, match=KEPT_READER):
        scorer(damaged, keep_states=10**7)


AFTER_MAIN = """
import threading
from resift import Reranker

reranker = Reranker(keep_states=1_000_000, threads=2)
texts = [f"{number} " + "the fox could not reach the grapes " * 12 for number in range(12)]

def work():
    threading.main_thread().join()
    print(len(reranker.rank("which animal wanted fruit?", texts)))

threading.Thread(target=work).start()
"""


def test_a_thread_ranks_on_after_the_main_thread_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", AFTER_MAIN], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("12\n", "")


def test_a_fork_while_a_pool_is_made_finds_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "renew_in_children", lambda made: made.renew())  # as a child would at that moment
    opened: list[Any] = []

    def open_session() -> Any:
        opened.append(object())
        return opened[-1]

    assert sessions.SessionPool(open_session).current is opened[-1]
