"""The default engine: ONNX Runtime and `tokenizers`, in process, no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from resift.engines.common.pairs import PairNetwork, check_labels, choose_max_length, position_limit
from resift.engines.common.pipeline import Network, Pipeline
from resift.engines.common.session import Session
from resift.engines.split.encoder import Encoder
from resift.engines.split.reader import SplitNetwork, open_session, pair_forward
from resift.engines.split.states import open_store
from resift.errors import InputError, ModelFileError
from resift.models.catalogue import find, hub_name
from resift.models.detect import GRAPHS
from resift.models.manifest import FILE, READER, Manifest, digest
from resift.models.options import HUB_ID
from resift.scorer import LongDocuments, Request, Scale, Scores
from resift.text.tokenizer import CachingTokenizer, TextTokenizer

NOTHING = (0, None)  # keep_states and states_file where no states are kept
BATCH_TOKENS = 2048  # the fastest of 256 to 16,384 for the bundled network on 2 cores


class OnnxScorer:
    """Scores with a cross-encoder exported to ONNX: the bundled one, a folder `resift export` wrote (its
    checksums are verified), or any Hugging Face folder or id with `model.onnx` and `tokenizer.json`.

    Scores are logits, in float32, and don't depend on the batch they were computed in. Safe to use from any
    number of threads. Raises ModelFileError when the folder is incomplete or damaged.
    """

    scale = Scale.LOGIT
    engine = "onnx"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        long_documents: LongDocuments = "truncate",
        max_length: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        threads: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        keep_states: int = 0,
        states_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.folder = _local(os.fspath(folder), revision, local_files_only)
        self.long_documents = long_documents
        self.batch_tokens = batch_tokens
        self.threads = threads
        self._keeping = (keep_states, states_file)
        manifest = Manifest.read(self.folder) if (self.folder / FILE).exists() else _foreign(self.folder)
        self.name = manifest.name
        self._manifest = manifest
        entry = find(str(self.folder))
        usual = None if entry is None else entry.tuned_length
        self.max_length = choose_max_length(manifest.document_length, max_length, self.name, usual)
        kind = TextTokenizer if self._keeping == NOTHING else CachingTokenizer
        tokenizer = kind.load(self.folder / "tokenizer.json")
        self._pipeline = Pipeline(tokenizer, self._network(manifest, tokenizer), long_documents, batch_tokens)

    @cached_property
    def identity(self) -> str:
        """What decides the scores: the files, their precision, and how much of a text is read."""
        files = self._manifest.fingerprint if self._manifest.files else digest(_foreign_files(self.folder))
        rounded = " kept states" if self._keeping != NOTHING else ""
        return f"{self.engine} {files} {self._manifest.precision} {self.max_length} {self.long_documents}{rounded}"

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One logit per document. Raises InputError when the query alone is longer than the model reads."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, their documents batched together."""
        return self._pipeline.score(requests)

    def _network(self, manifest: Manifest, tokenizer: TextTokenizer) -> Network:
        if manifest.kind == "split" and manifest.query_length is not None:
            store = open_store(*self._keeping)
            encoder = Encoder.of(self.folder, manifest, tokenizer.text_template(), self._session, store)
            return SplitNetwork(encoder, self._session(self.folder / READER), manifest.query_length, self.max_length)
        if self._keeping != NOTHING:
            raise InputError(
                f"{self.name} reads query and document together: there are no document states to keep; "
                "leave out keep_states and states_file"
            )
        if manifest.kind != "pair":
            raise ModelFileError(f"{self.folder} holds a {manifest.kind} model, which is no cross-encoder")
        graph = _graph(self.folder)
        session = self._session(graph)
        labels = session.get_outputs()[0].shape[1:]
        check_labels(labels[0] if labels and isinstance(labels[0], int) else 1, str(graph))
        return PairNetwork(pair_forward(session), tokenizer.pair_template(), self.max_length)

    def _session(self, graph: Path) -> Session:
        return Session(partial(self._open, graph, self.threads), self.threads)

    @staticmethod
    def _open(graph: Path, threads: int | None) -> Any:
        """A session; what else runs ONNX graphs overrides this."""
        return open_session(graph, threads)

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
        return (partial(type(self), **options), (self.folder,))


def _local(name: str, revision: str | None, local_files_only: bool) -> Path:
    """The folder of that name, or of that Hugging Face id."""
    if Path(name).exists() or not HUB_ID.fullmatch(name):
        return Path(name)
    from resift.engines.hub import download_onnx_folder  # only now: a folder needs no hub

    return download_onnx_folder(name, revision, local_files_only)


def _graph(folder: Path) -> Path:
    for name in GRAPHS:
        if (folder / name).exists():
            return folder / name
    raise ModelFileError(f"{folder} has no ONNX graph ({' or '.join(GRAPHS)})")


def _foreign_files(folder: Path) -> list[Path]:
    """The graph, weights that lie beside it, and the tokenizer."""
    graph = _graph(folder)
    return [*sorted(graph.parent.glob(f"{graph.name}*")), folder / "tokenizer.json"]


def _foreign(folder: Path) -> Manifest:
    """What a Hugging Face folder with an ONNX graph says of itself. It lists no checksums to verify."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{folder} has neither a {FILE} nor a readable config.json: {error}") from error
    limit = position_limit(config)
    settings = folder / "tokenizer_config.json"
    if settings.exists():
        limit = min(limit, json.loads(settings.read_text(encoding="utf-8")).get("model_max_length") or limit)
    name = hub_name(str(folder)) if hub_name(str(folder)) != str(folder) else folder.name
    return Manifest(name=str(config.get("_name_or_path") or name), kind="pair", document_length=int(limit))
