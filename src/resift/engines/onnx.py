"""The default engine: ONNX Runtime and `tokenizers`, in process, no torch."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime

from resift._util.call_site import warn_at_call_site
from resift._util.lru import LRUCache
from resift._util.model_files import external_data_files, has_file, locate_file, report_unreadable
from resift.engines.common.known_scores import check_known_scores
from resift.engines.common.pairs import PairNetwork, check_network, choose_max_length
from resift.engines.common.pipeline import Network, Pipeline
from resift.engines.common.session import Session, SessionPool, usable_cores
from resift.engines.split.encoder import Encoder
from resift.engines.split.reader import SplitNetwork, open_session
from resift.engines.split.states import MemoryStates, open_store
from resift.errors import BatchWarning, InputError, ModelFileError
from resift.models.bundled import BUNDLED, bundled_folder
from resift.models.manifest import KEPT_READER, MANIFEST_FILE, READER, Manifest, fingerprint_files
from resift.models.options import HUB_ID, ControlTokens
from resift.scorer import LongDocuments, Request, Scale, ScorerBase, Scores
from resift.text.language import EnglishCheck
from resift.text.tokenizer import CachingTokenizer, TextTokenizer

if TYPE_CHECKING:
    from resift.engines.common.plain_folder import PlainFolder

KEPT_ROUND = 12  # batches in a round of the queue: read as it is kept, that much takes less time than two encoded ones
TESTED_BYTES = 1_000_000  # of the states of two short texts
NO_STATES = (0, None)  # keep_states and states_file if no states are kept
BATCH_TOKENS = 1024  # as fast as 2,048 for the bundled network, one thread or two, in 3/4 of the memory


class OnnxScorer(ScorerBase):
    """Scores with a cross-encoder exported to ONNX.

    Scores are float32 logits and don't depend on the batch they were computed in. Any number of threads may use it.

    Args:
        folder: A folder that `resift export` wrote (its checksums are verified), or any Hugging Face folder or id with
            `model.onnx` and `tokenizer.json`.
        long_documents: "truncate" scores the beginning of a long document and warns, "max_window" scores overlapping
            windows and takes the best, "first_window" scores the beginning without a warning. Default: "max_window"
            where documents are encoded apart from queries, else "truncate", as sentence-transformers does.
        max_length: Tokens to read of a pair, or of a document if documents are encoded apart from queries; at least 16.
            Default: the model's limit, or less if its authors advise it.
        batch_tokens: Tokens in one batch, padding included. Bounds memory, changes no score.
        control_tokens: "text" reads a special token that a text spells, such as `[SEP]`, as its letters, "model" as the
            token itself. Default: "text" where documents are encoded apart from queries, else "model".
        threads: CPU threads. Default: one per core.
        revision: Commit, tag or branch of a Hugging Face id.
        local_files_only: Never ask the Hugging Face hub.
        keep_states: Bytes of document states to keep, in memory or in `states_file`. Default 0: none in memory, no
            limit for a file. Only for networks that encode documents apart from queries.
        states_file: A file for document states, which several processes may share.

    Raises:
        ModelFileError: The folder is incomplete or damaged, or holds no cross-encoder.
        InputError: An option is impossible for this model.
    """

    scale = Scale.LOGIT
    engine = "onnx"
    _reads_rounded = True
    """Whether the runtime can multiply kept states as they are."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        long_documents: LongDocuments | None = None,
        max_length: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        control_tokens: ControlTokens | None = None,
        threads: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        keep_states: int = 0,
        states_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.folder = _find_folder(os.fspath(folder), revision, local_files_only)
        self.batch_tokens = batch_tokens
        self.threads = threads
        self.round_tokens = 2 * batch_tokens
        self._state_options = (keep_states, states_file)
        has_manifest = has_file(self.folder, MANIFEST_FILE)
        self._plain = None if has_manifest else _read_plain_folder(self.folder)
        manifest = Manifest.read(self.folder) if self._plain is None else self._plain.manifest
        self.name = manifest.name
        self._manifest = manifest
        apart = manifest.kind == "split"
        usual: LongDocuments = "max_window" if apart else "truncate"
        self.long_documents: LongDocuments = usual if long_documents is None else long_documents
        tuned_length = None if apart else _tuned_length(self.folder)
        self._requested_length = max_length
        self.max_length = choose_max_length(manifest.document_length, max_length, self.name, tuned_length)
        tokenizer_class = TextTokenizer if self._state_options == NO_STATES else CachingTokenizer
        if has_manifest:
            manifest.checksum_of("tokenizer.json")
        default: ControlTokens = "text" if apart else "model"
        self.control_tokens = control_tokens or default
        tokenizer = tokenizer_class.load(self.folder / "tokenizer.json", control_tokens=self.control_tokens)
        self._tokens_identity = "" if self.control_tokens == default else f" control_tokens={self.control_tokens}"
        english = EnglishCheck(tokenizer) if self.folder.samefile(bundled_folder(BUNDLED[0])) else None
        network = self._load_network(manifest, tokenizer)
        self.pipeline = Pipeline(tokenizer, network, self.long_documents, batch_tokens, english=english)

    @cached_property
    def identity(self) -> str:
        """Everything that decides the scores: the files, their precision, and how much of a text is read."""
        files = self._manifest.fingerprint if self._manifest.files else _fingerprint(self.folder)
        states = " kept states" if self._state_options != NO_STATES else ""
        extras = f"{states}{self._tokens_identity}"
        return f"{self.engine} {files} {self._manifest.precision} {self.max_length} {self.long_documents}{extras}"

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one logit per document for each request, all documents batched together.

        Raise InputError if the query alone is longer than the model reads.
        """
        return self.pipeline.score(requests)

    def _load_network(self, manifest: Manifest, tokenizer: TextTokenizer) -> Network:
        """Open the model's graphs, and let them score a small batch. Raise ModelFileError where they can't."""
        network: Network
        tested: Network
        if manifest.kind == "split" and manifest.query_length is not None:
            store = open_store(*self._state_options)
            reads_rounded = store is not None and self._reads_rounded and KEPT_READER in manifest.files
            graph = manifest.locate(self.folder, KEPT_READER if reads_rounded else READER)
            encoder = Encoder.load(self.folder, manifest, tokenizer.text_template(), self._open_session)
            reader = SessionPool(partial(self._open_graph, graph, 1)) if reads_rounded else self._open_session(graph)
            if reads_rounded:
                self.round_tokens = KEPT_ROUND * self.batch_tokens
            keeping = replace(encoder, store=store, batch_tokens=self.batch_tokens)
            threads = self.threads or usable_cores()
            network = SplitNetwork(keeping, reader, manifest.query_length, self.max_length, reads_rounded, threads)
            # Not with the store, which is for the caller's texts.
            other = replace(encoder, store=MemoryStates(TESTED_BYTES)) if reads_rounded else encoder
            tested = replace(network, encoder=other, document_length=manifest.document_length, query_cache=LRUCache(1))
            if self.folder.samefile(bundled_folder(BUNDLED[0])):
                check_known_scores(BUNDLED[0], tested, tokenizer, self._runtime())
                return network
        elif self._state_options != NO_STATES:
            raise InputError(
                f"{self.name} reads query and document together: there are no document states to keep; "
                "leave out keep_states and states_file"
            )
        elif manifest.kind != "pair":
            raise ModelFileError(f"{self.folder} holds a {manifest.kind} model, which is no cross-encoder")
        else:
            files = _graph_files(self.folder)
            for file in files:
                if manifest.files:
                    manifest.checksum_of(file)
                locate_file(self.folder, file)
            graph = self.folder / files[0]
            network = tested = self._open_pair_network(graph, tokenizer)
        with report_unreadable(graph, "cross-encoder that fits the folder's tokenizer.json"):
            check_network(tested, tokenizer)
        return network

    def _open_pair_network(self, graph: Path, tokenizer: TextTokenizer) -> PairNetwork:
        from resift.engines.common.graphs import PairGraph  # the bundled models are none

        session = self._open_session(graph)
        config = {} if self._plain is None else self._plain.config
        pad_id = tokenizer.pad_id if self._plain is None else self._plain.pad_id(tokenizer)
        with report_unreadable(graph, "cross-encoder"):
            opened = PairGraph.open(session, graph, config=config, pad_id=pad_id)
        if opened.tokens is not None:
            self.max_length = choose_max_length(opened.tokens, self._requested_length, self.name, self.max_length)
        if self.batch_tokens > 1 and _rounds_by_batch(graph):
            warn_at_call_site(
                f"{graph} rounds with one scale for a whole batch, as all graphs of onnxruntime's quantize_dynamic do: "
                "a score moves a little with the texts that are scored beside it. batch_tokens=1 scores each text "
                "alone; from the model's weights, `resift export MODEL DIR --int8` writes a graph whose scores stay",
                BatchWarning,
            )
        return PairNetwork(opened, tokenizer.pair_template(pad_id or 0), self.max_length)

    def _open_session(self, graph: Path) -> Session:
        return Session(partial(self._open_graph, graph, self.threads), self.threads)

    @staticmethod
    def _runtime() -> str:
        """Name the library that runs the graphs, with its version."""
        return f"onnxruntime {onnxruntime.__version__}"

    @staticmethod
    def _open_graph(graph: Path, threads: int | None) -> Any:
        """Open a session. Engines with another runtime for ONNX graphs override this."""
        return open_session(graph, threads)

    def __reduce__(self) -> tuple[Any, ...]:
        keep, file = self._state_options
        options: dict[str, Any] = {
            "long_documents": self.long_documents,
            "max_length": self.max_length,
            "batch_tokens": self.pipeline.batch_tokens,
            "control_tokens": self.control_tokens,
            "threads": self.threads,
            "keep_states": keep,
            "states_file": file,
        }
        return (partial(type(self), **options), (self.folder,))


def _find_folder(name: str, revision: str | None, local_files_only: bool) -> Path:
    """Return the folder of that name, or the downloaded folder of that Hugging Face id."""
    if Path(name).exists() or not HUB_ID.fullmatch(name):
        return Path(name)
    from resift.engines.hub import download_onnx_folder  # imported late: a local folder needs no hub

    return download_onnx_folder(name, revision, local_files_only)


def _read_plain_folder(folder: Path) -> PlainFolder:
    from resift.engines.common.plain_folder import PlainFolder  # imported late: a folder with a manifest is none

    return PlainFolder.read(folder)


def _tuned_length(folder: Path) -> int | None:
    """Return the tokens of a pair that a published model was tuned for; None where nothing says."""
    from resift.models.catalogue import find  # imported late: published models read both texts together

    entry = find(str(folder))
    return None if entry is None else entry.tuned_length


def _rounds_by_batch(graph: Path) -> bool:
    """Return whether a graph has an operator that rounds a batch by its largest number."""
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"DynamicQuantize") >= 0


def _graph_files(folder: Path) -> list[str]:
    """Return the names of the graph, which is the first, and of the files of weights that it reads."""
    from resift.engines.common.plain_folder import find_graph  # imported late: for folders that others made

    graph = find_graph(folder)
    return [graph, *external_data_files(folder, graph)]


def _fingerprint(folder: Path) -> str:
    """Return the fingerprint of a folder without a manifest: of its graph, the weights beside it, and the tokenizer."""
    return fingerprint_files(locate_file(folder, name) for name in (*_graph_files(folder), "tokenizer.json"))
