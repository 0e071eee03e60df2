"""Where a cross-encoder looks, from its ONNX graph: what its softmaxes give, made outputs of the graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np

from resift._util.model_files import report_unreadable
from resift.engines.common.graphs import PairGraph
from resift.engines.common.pairs import PairNetwork
from resift.engines.common.plain_folder import find_graph
from resift.engines.common.session import Session
from resift.engines.onnx import OnnxScorer
from resift.errors import InputError
from resift.explanation.contributions import Floats
from resift.explanation.explanation import Explanation
from resift.explanation.graph_file import GraphFile, open_bytes
from resift.explanation.read_pair import ReadPair

NO_ATTENTION = (
    "shows no attention: its graph joins it into one operator, or computes nothing else; load the model with torch, by "
    "its Hugging Face id or folder, or use method='occlusion'"
)


@dataclass(frozen=True, slots=True)
class AttentionGraph:
    """The graph of a scorer, opened once more with its softmaxes as outputs."""

    graph: PairGraph
    first: int
    """The first output that is a softmax."""

    @classmethod
    def of(cls, scorer: OnnxScorer, graph: PairGraph) -> Self:
        """Open it. Raise InputError where it has none, ModelFileError where it can't be read."""
        path = scorer.folder / find_graph(scorer.folder)
        file = GraphFile.read(path)
        names = [node.outputs[0] for node in file.nodes if node.kind == "Softmax"]
        own = [output.name for output in graph.session.get_outputs()]
        if not names:
            raise InputError(f"{scorer.name} {NO_ATTENTION}")
        data = file.with_outputs(*(name for name in names if name not in own))
        with report_unreadable(path, "ONNX graph that shows its attention"):
            session = Session(partial(open_bytes, data, path.parent, scorer.threads), scorer.threads)
            return cls(replace(graph, session=session), len(own))


_GRAPHS: WeakKeyDictionary[OnnxScorer, AttentionGraph] = WeakKeyDictionary()


def explain_by_graph(scorer: OnnxScorer, query: str, document: str) -> Explanation:
    """Return how the tokens of the query share their attention out among the document's words.

    The mean over all heads, and all layers of which the graph computes every row: `resift export` computes the last
    layer for the first token alone. Raise InputError where the graph shows no attention.
    """
    network = scorer.pipeline.network
    if not isinstance(network, PairNetwork) or not isinstance(network.forward, PairGraph):
        raise InputError(f"{scorer.name} {NO_ATTENTION}")
    if scorer not in _GRAPHS:
        _GRAPHS[scorer] = AttentionGraph.of(scorer, network.forward)
    pair = ReadPair.of(scorer.pipeline, query, document)
    template = network.template
    inputs = template.assemble([(pair.query_ids, pair.document_ids)])
    shown = _GRAPHS[scorer]
    layers = [layer for layer in shown.graph.outputs(inputs)[shown.first :] if _is_attention(layer.shape, inputs)]
    if not layers:
        raise InputError(f"{scorer.name} {NO_ATTENTION}")
    shares: Floats = np.mean([layer[0].astype(np.float64).mean(0) for layer in layers], 0)
    start = len(template.before)
    after = start + len(pair.query_ids) + len(template.between)
    pairs = shares[start : start + len(pair.query_ids), after : after + len(pair.document_ids)]
    return pair.explanation(scorer, "attention", pair.by_document_word(pairs.sum(0)), pair.by_word(pairs))


def _is_attention(shape: tuple[int, ...], inputs: dict[str, np.ndarray]) -> bool:
    """Return whether an array has the shares of every token for every token: (1, heads, tokens, tokens)."""
    return len(shape) == 4 and shape[2] == shape[3] >= inputs["input_ids"].shape[1] > 1
