"""Rewriting an exported graph saves work and changes no score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import random_models
import torch
from onnxruntime import InferenceSession, SessionOptions
from sentence_transformers import CrossEncoder

from resift.export import passes
from resift.export.pair import input_names, trace
from resift.export.passes.graph import Graph
from resift.export.trace import write_graph


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, saved: Callable[[str], Path]) -> Callable[[str], onnx.ModelProto]:
    """architecture → its graph as torch's exporter leaves it."""

    def graph(architecture: str) -> onnx.ModelProto:
        folder = str(saved(architecture))
        network = CrossEncoder(folder, device="cpu", model_kwargs={"attn_implementation": "eager"})
        names = input_names(network.eval(), folder)
        path = tmp_path_factory.mktemp("traced") / "model.onnx"
        trace(network, names, path)
        return onnx.load(path)

    return graph


def run(model: onnx.ModelProto, rows: int, tokens: int, seed: int) -> np.ndarray:
    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(seed)
    inputs = {argument.name: passes._sample(argument, rows, tokens, generator) for argument in session.get_inputs()}
    output: np.ndarray = session.run(None, inputs)[0]
    return output


@pytest.mark.parametrize("architecture", random_models.EVERY_ARCHITECTURE)
def test_scores_stay_equal_and_the_last_layer_reads_one_position(
    architecture: str, traced: Callable[[str], onnx.ModelProto]
) -> None:
    before = traced(architecture)
    graph = Graph.read(before)
    passes.first_position_only(graph)
    after = graph.write()
    for rows, tokens in ((1, 2), (3, 40)):
        expected = run(before, rows, tokens, seed=rows)
        np.testing.assert_allclose(run(after, rows, tokens, seed=rows), expected, atol=1e-5)
    assert len(after.graph.node) < len(before.graph.node)
    # The products that see one position: query, output, two of the feed-forward, and a Gemm or so.
    assert count_products_of_one_position(after) >= (4 if architecture == "modernbert" else 5)


def count_products_of_one_position(model: onnx.ModelProto) -> int:
    """Weight products whose input holds one position of each row, counted on a run with all tensors as outputs."""
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {
        node.input[0] for node in model.graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights
    }
    outputs = {output.name for output in model.graph.output}
    instrumented.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(inputs - outputs))
    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = InferenceSession(instrumented.SerializeToString(), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    samples = {argument.name: passes._sample(argument, 3, 17, generator) for argument in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(names, samples), strict=True))
    return sum(
        np.prod(values[node.input[0]].shape[:-1]) == 3
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights and node.input[0] in values
    )


def test_a_model_that_reads_all_positions_is_left_whole() -> None:
    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lower, self.upper = torch.nn.Linear(8, 8), torch.nn.Linear(8, 1)

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return self.upper(torch.relu(self.lower(states)).mean(1) + torch.relu(self.lower(states))[:, 0])

    assert not is_narrowed(Mean())


def is_narrowed(module: torch.nn.Module) -> bool:
    """Whether the pass cuts anything of such a module."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        axes = {"states": {0: "rows", 1: "tokens"}, "logits": {0: "rows"}}
        write_graph(module, {"states": torch.ones(2, 5, 8)}, path, axes, outputs=("logits",))
        before = onnx.load(path)
    graph = Graph.read(before)
    passes.first_position_only(graph)
    after = graph.write()
    np.testing.assert_allclose(run(after, 3, 7, 0), run(before, 3, 7, 0), atol=1e-6)
    return any(node.op_type == "Slice" for node in after.graph.node)


@pytest.mark.parametrize("architecture", random_models.EVERY_ARCHITECTURE)
def test_float32_exports_have_standard_operators_alone(architecture: str, exported: Callable[[str], Path]) -> None:
    model = onnx.load(exported(architecture) / "model.onnx")
    assert {node.domain for node in model.graph.node} == {""}
    assert {opset.domain for opset in model.opset_import} == {""}


def test_a_rewrite_that_changes_scores_is_not_kept(
    saved: Callable[[str], Path],
    traced: Callable[[str], onnx.ModelProto],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from resift.export.pair import export_model

    def change_a_weight(graph: Graph) -> None:
        name = next(name for name, values in graph.constants.items() if values.ndim == 2 and values.size > 4096)
        graph.constants[name] = graph.constants[name] * np.float32(1.01)

    monkeypatch.setattr(passes, "first_position_only", change_a_weight)
    export_model(str(saved("xlm-roberta")), tmp_path)
    assert onnx.load(tmp_path / "model.onnx").graph == traced("xlm-roberta").graph
    assert "exported as traced" in caplog.text


PRODUCTS = 24
"""Matrix products that a text passes one after another in six layers: of attention two, of the feed-forward two."""
PRODUCT_ERRORS = {"int8": 0.01, "int8-dynamic": 0.02}
"""Relative error of one product, root mean square. Rounding is off by step / sqrt(12); steps are a 127th of a column's
largest weight (int8), or a 63rd of it and a 127th of a row's largest number (int8-dynamic). Where the largest is four
standard deviations, that is .009, and .018 and .009 together .020. On average of this network's products, .007 and .017
were measured."""


@pytest.mark.parametrize("precision", PRODUCT_ERRORS)
def test_every_precision_is_as_near_to_float32_as_its_products(
    precision: str, exported: Callable[..., Path], tmp_path: Path
) -> None:
    # Independent errors add up in squares. It is the error of the last layer's states, whose 384 numbers average out
    # chance: .039 and .075 to .077 were measured with ONNX Runtime 1.21 to 1.32. A score is one number, and where
    # weights are random a last bit decides which way an activation is rounded, and so on from layer to layer: with
    # layer norms changed by 2e-7, eight scores correlated with float32's by anything from .961 to .996.
    exact, rounded = (last_states(exported("bert-6", name)) for name in ("float32", precision))
    assert np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < np.sqrt(PRODUCTS) * PRODUCT_ERRORS[precision]


def last_states(folder: Path) -> np.ndarray:
    """Return what the last layer says of [CLS], (texts, width)."""
    model = onnx.load(folder / "model.onnx")
    states = next(node.input[0] for node in model.graph.node if node.op_type == "Gemm")  # the pooler reads it
    model.graph.output.extend([onnx.ValueInfoProto(name=states)])
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    inputs = {argument.name: passes._sample(argument, 16, 60, generator) for argument in session.get_inputs()}
    output: np.ndarray = session.run([states], inputs)[0]
    return output


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic"])
def test_scores_of_every_precision_are_free_of_the_batch(precision: str, exported: Callable[..., Path]) -> None:
    from resift import load_scorer
    from resift.models.manifest import Manifest

    assert Manifest.read(exported("bert-6", precision)).precision == precision
    documents = random_models.documents((2, 5, 9, 20, 30, 60, 90, 140))
    scorer = load_scorer(exported("bert-6", precision))
    together = scorer.score("what eats bamboo", documents)
    alone = [scorer.score("what eats bamboo", [document])[0] for document in documents]
    assert np.abs(np.subtract(alone, list(together))).max() < 1e-5


def test_an_unknown_precision_is_refused(saved: Callable[[str], Path], tmp_path: Path) -> None:
    from resift import InputError
    from resift.export.pair import export_model

    with pytest.raises(InputError, match="precision is one of float32, int8, int8-dynamic, not 'int4'"):
        export_model(str(saved("bert-6")), tmp_path, precision="int4")
