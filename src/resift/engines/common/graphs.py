"""ONNX graphs of cross-encoders as others export them: which inputs and outputs they have, and what they are fed.

Exporters differ in the inputs' types, in fixed shapes, in further inputs (positions) and outputs (hidden states). What
a graph needs is read from the graph itself; one that can't give a score is refused at load, with the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pairs import ROBERTA_MODEL_TYPES, check_labels, to_logits
from resift.errors import ModelFileError
from resift.models.contents import label_names

REQUIRED = "input_ids"
INPUTS = (REQUIRED, "attention_mask", "token_type_ids", "position_ids")
SCORE_OUTPUTS = ("logits", "logit", "scores", "score")
VECTOR_OUTPUTS = ("last_hidden_state", "sentence_embedding", "token_embeddings", "pooler_output")
TYPES: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
}
EXAMPLE = "two pairs of four tokens"
EXPORT_AGAIN = "write one from the weights with `resift export`"


class GraphSession(Protocol):
    """What is used of a session, ONNX Runtime's or another one."""

    def get_inputs(self) -> list[Any]:
        """Return the inputs, each with `name`, `type` and `shape`."""

    def get_outputs(self) -> list[Any]:
        """Return the outputs, each with `name` and `shape`."""

    def run(self, names: Any, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return all outputs."""


@dataclass(frozen=True, slots=True)
class PairGraph:
    """A graph that scores pairs, with what it wants to be fed. Calling it is a `Forward`."""

    session: GraphSession
    inputs: Mapping[str, tuple[str, type[np.generic]]]
    """Name of the graph's input → the tensor of ours that it takes, and its type."""
    output: int
    """Which output has the scores."""
    rows: int | None
    """The only number of rows it takes; None for any."""
    tokens: int | None
    """The only number of tokens it takes; None for any."""
    pad_id: int | None
    """Id of the padding; None where the model has none, so that rows of different lengths can't share a batch."""
    first_position: int
    """The position of the first token."""

    @classmethod
    def open(
        cls, session: GraphSession, graph: Path, *, config: Mapping[str, Any] | None, pad_id: int | None
    ) -> PairGraph:
        """Return the graph, as its inputs and outputs say.

        Args:
            session: The opened graph.
            graph: Its file, for messages.
            config: The config.json beside it; None for an exported folder, which has none.
            pad_id: The id that the model's padding has, None if it has none.

        Raises:
            ModelFileError: It takes an input that isn't known, or gives no score; the message says what it is.
        """
        config = config or {}
        inputs = _read_inputs(session, graph)
        taken = {field for field, _ in inputs.values()}
        rows, tokens = _fixed_shape(session, inputs)
        if "attention_mask" not in taken:
            if tokens is not None:
                raise ModelFileError(
                    f"{graph} reads exactly {tokens} tokens and takes no attention_mask, so that it can't tell padding "
                    f"from text: {EXPORT_AGAIN}"
                )
            pad_id = None
        elif pad_id is None and tokens is not None:
            raise ModelFileError(
                f"{graph} reads exactly {tokens} tokens, and its model has no padding token: name one as pad_token_id "
                f"in config.json, or {EXPORT_AGAIN}"
            )
        padding = config.get("pad_token_id")
        offset = (padding or 0) + 1 if config.get("model_type") in ROBERTA_MODEL_TYPES else 0
        opened = cls(session, inputs, 0, rows, tokens, pad_id, offset)
        return cls(session, inputs, opened._find_scores(graph, config), rows, tokens, pad_id, offset)

    def __call__(self, inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return a logit for each row, (rows,)."""
        lengths = inputs["attention_mask"].sum(1)
        logits = np.empty(len(lengths), np.float32)
        for chosen in self._batches(lengths):
            logits[chosen] = to_logits(self._run(inputs, chosen, lengths)[self.output].astype(np.float32))
        return logits

    def outputs(self, inputs: Mapping[str, NDArray[np.int64]]) -> list[NDArray[Any]]:
        """Return all outputs for rows of one length."""
        lengths = inputs["attention_mask"].sum(1)
        return self._run(inputs, np.arange(len(lengths)), lengths)

    def _batches(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
        """Yield the indices of rows that can go through the graph together."""
        whole = np.arange(len(lengths))
        groups = [whole] if self.pad_id is not None else [np.flatnonzero(lengths == n) for n in np.unique(lengths)]
        for group in groups:
            size = self.rows or len(group)
            for start in range(0, len(group), size):
                yield group[start : start + size]

    def _run(
        self, inputs: Mapping[str, NDArray[np.int64]], chosen: NDArray[np.intp], lengths: NDArray[np.int64]
    ) -> list[NDArray[Any]]:
        """Return the outputs for some of the rows."""
        width = int(lengths[chosen].max())
        rows = {name: array[chosen, :width] for name, array in inputs.items()}
        if self.tokens is not None:
            fill = {"input_ids": self.pad_id or 0}
            rows = {
                name: np.pad(array, ((0, 0), (0, self.tokens - width)), constant_values=fill.get(name, 0))
                for name, array in rows.items()
            }
        if self.rows is not None and len(chosen) < self.rows:
            rows = {name: np.pad(array, ((0, self.rows - len(chosen)), (0, 0)), "edge") for name, array in rows.items()}
        shape = rows["input_ids"].shape
        rows["position_ids"] = np.broadcast_to(np.arange(shape[1]) + self.first_position, shape)
        fed = {name: np.ascontiguousarray(rows[field], kind) for name, (field, kind) in self.inputs.items()}
        return [output[: len(chosen)] if output.ndim else output for output in self.session.run(None, fed)]

    def _find_scores(self, graph: Path, config: Mapping[str, Any]) -> int:
        """Return which output has a score for each pair: by its name, else by the shape it has for two pairs."""
        ids = np.full((2, 4), self.pad_id or 0, np.int64)
        ones = np.ones_like(ids)
        example = {"input_ids": ids, "attention_mask": ones, "token_type_ids": np.zeros_like(ids)}
        outputs = self._run(example, np.arange(min(2, self.rows or 2)), np.array([4, 4]))
        names = [str(output.name) for output in self.session.get_outputs()]
        named = [index for index, name in enumerate(names) if name.lower() in SCORE_OUTPUTS]
        shaped = [index for index, output in enumerate(outputs) if output.ndim == 1 or output.shape[1:] in ((1,), (2,))]
        found = [index for index in named if index in shaped] or shaped
        if found:
            labels = outputs[found[0]].shape[1] if outputs[found[0]].ndim == 2 else 1
            check_labels(labels, str(graph), label_names(dict(config)))
            return found[0]
        shapes = ", ".join(f"{name} {output.shape}" for name, output in zip(names, outputs, strict=True))
        if named and outputs[named[0]].ndim == 2:
            check_labels(outputs[named[0]].shape[1], str(graph), label_names(dict(config)))
        if named:
            raise ModelFileError(
                f"{graph} gives a number for each token, not one for a pair ({shapes} for {EXAMPLE}): it is the graph "
                "of a token classifier or a language model, and no reranker"
            )
        width = config.get("hidden_size")
        if any(name in VECTOR_OUTPUTS for name in names) or any(
            output.ndim == 3 or output.shape[-1] == width for output in outputs
        ):
            raise ModelFileError(
                f"{graph} gives vectors and no score ({shapes} for {EXAMPLE}): it is the graph of an encoder or a "
                "bi-encoder, and no reranker. Use it in the first stage; of a cross-encoder's weights, `resift export` "
                "writes a graph that gives scores"
            )
        check_labels(outputs[0].shape[1] if outputs[0].ndim == 2 else 0, str(graph), label_names(dict(config)))
        raise ModelFileError(f"{graph} gives no score for a pair, but {shapes} for {EXAMPLE}: {EXPORT_AGAIN}")


def _read_inputs(session: GraphSession, graph: Path) -> dict[str, tuple[str, type[np.generic]]]:
    """Return what the graph takes. Exporters of TensorFlow write `input_ids:0`."""
    inputs, unknown = {}, []
    for graph_input in session.get_inputs():
        field = graph_input.name.partition(":")[0]
        kind = TYPES.get(graph_input.type)
        if field not in INPUTS:
            unknown.append(graph_input.name)
        elif kind is None:
            raise ModelFileError(
                f"{graph} takes {graph_input.name} as {graph_input.type}, where numbers belong: {EXPORT_AGAIN}"
            )
        else:
            inputs[graph_input.name] = (field, kind)
    if unknown:
        raise ModelFileError(
            f"{graph} takes {', '.join(sorted(unknown))}, and a cross-encoder's graph takes only {', '.join(INPUTS)}: "
            f"{EXPORT_AGAIN}"
        )
    if REQUIRED not in {field for field, _ in inputs.values()}:
        raise ModelFileError(f"{graph} takes no {REQUIRED}, so that it reads no text: {EXPORT_AGAIN}")
    return inputs


def _fixed_shape(
    session: GraphSession, inputs: Mapping[str, tuple[str, type[np.generic]]]
) -> tuple[int | None, int | None]:
    """Return the only numbers of rows and tokens that a graph takes, each None where it takes any."""
    for graph_input in session.get_inputs():
        if inputs[graph_input.name][0] == REQUIRED and len(graph_input.shape) == 2:
            rows, tokens = (size if isinstance(size, int) and size > 0 else None for size in graph_input.shape)
            return rows, tokens
    return None, None
