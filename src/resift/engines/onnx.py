"""The default engine: ONNX Runtime and `tokenizers`, in process, no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resift.engines._encoder import Encoder
from resift.engines._networks import SplitNetwork, open_session, pair_forward
from resift.engines._pairs import PairNetwork, capacity, check_labels, shorter
from resift.engines._pipeline import Network, Pipeline
from resift.engines._tokenize import TextTokenizer
from resift.errors import InputError, ModelFileError
from resift.load import LongDocuments
from resift.manifest import ENCODER, FILE, READER, Manifest
from resift.scorer import Request, Scale, Scores
from resift.states import open_store

BATCH_TOKENS = 2048  # the fastest of 256 to 16,384 for the bundled network on 2 cores
GRAPHS = ("model.onnx", "onnx/model.onnx")


class OnnxScorer:
    """Scores with a cross-encoder exported to ONNX: the bundled one, a folder `resift export` wrote (its
    checksums are verified), or any Hugging Face folder with `model.onnx` and `tokenizer.json`.

    Scores are logits, in float32, and don't depend on the batch they were computed in. Safe to use from any
    number of threads. Raises ModelFileError when the folder is incomplete or damaged.
    """

    scale = Scale.LOGIT

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        long_documents: LongDocuments = "truncate",
        max_length: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        threads: int | None = None,
        keep_states: int = 0,
        states_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.long_documents = long_documents
        self.threads = threads
        self._keeping = (keep_states, states_file)
        manifest = Manifest.read(self.folder) if (self.folder / FILE).exists() else _foreign(self.folder)
        self.name = manifest.name
        self.max_length = shorter(manifest.document_length, max_length, self.name)
        tokenizer = TextTokenizer.load(self.folder / "tokenizer.json")
        self._pipeline = Pipeline(tokenizer, self._network(manifest, tokenizer), long_documents, batch_tokens)

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One logit per document. Raises InputError when the query alone is longer than the model reads."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, their documents batched together."""
        return self._pipeline.score(requests)

    def _network(self, manifest: Manifest, tokenizer: TextTokenizer) -> Network:
        if manifest.kind == "split" and manifest.query_length is not None:
            session = open_session(self.folder / ENCODER, self.threads)
            store = open_store(*self._keeping)
            encoder = Encoder(session, tokenizer.frame(), manifest.sum_of(ENCODER), store)
            reader = open_session(self.folder / READER, self.threads)
            return SplitNetwork(encoder, reader, manifest.query_length, self.max_length)
        if self._keeping != (0, None):
            raise InputError(
                f"{self.name} reads query and document together: there are no document states to keep; "
                "leave out keep_states and states_file"
            )
        if manifest.kind != "pair":
            raise ModelFileError(f"{self.folder} holds a {manifest.kind} model, which is no cross-encoder")
        graph = _graph(self.folder)
        session = open_session(graph, self.threads)
        labels = session.get_outputs()[0].shape[1:]
        check_labels(labels[0] if labels and isinstance(labels[0], int) else 1, str(graph))
        return PairNetwork(pair_forward(session), tokenizer.template(), self.max_length)

    def __reduce__(self) -> tuple[Any, ...]:
        keep, file = self._keeping
        options: dict[str, Any] = {
            "long_documents": self.long_documents,
            "max_length": self.max_length,
            "batch_tokens": self._pipeline.batch_tokens,
            "threads": self.threads,
            "keep_states": keep,
            "states_file": file,
        }
        return (partial(OnnxScorer, **options), (self.folder,))


def _graph(folder: Path) -> Path:
    for name in GRAPHS:
        if (folder / name).exists():
            return folder / name
    raise ModelFileError(f"{folder} has no ONNX graph ({' or '.join(GRAPHS)})")


def _foreign(folder: Path) -> Manifest:
    """What a Hugging Face folder with an ONNX graph says of itself. It lists no checksums to verify."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{folder} has neither a {FILE} nor a readable config.json: {error}") from error
    limit = capacity(config)
    settings = folder / "tokenizer_config.json"
    if settings.exists():
        limit = min(limit, json.loads(settings.read_text(encoding="utf-8")).get("model_max_length") or limit)
    return Manifest(name=str(config.get("_name_or_path") or folder.name), kind="pair", document_length=int(limit))
