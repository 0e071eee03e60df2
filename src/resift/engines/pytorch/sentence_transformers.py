"""The engine for Hugging Face cross-encoders: sentence-transformers and torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pairs import Forward, PairNetwork, choose_max_length, position_limit, to_logits
from resift.engines.common.pipeline import Pipeline
from resift.errors import InputError, MissingExtraError, ModelFileError
from resift.models.catalogue import find
from resift.models.options import ControlTokens, Dtype
from resift.scorer import LongDocuments, Request, Scale, ScorerBase, Scores, Usage, check_instruction, no_instruction
from resift.text.half_pairs import replace_half_pairs
from resift.text.normal import normalise
from resift.text.tokenizer import PairTemplate, TextTokenizer

try:
    import torch
    from sentence_transformers import CrossEncoder
    from tokenizers import Tokenizer

    from resift.engines.pytorch.device import DeviceLogits, choose_batch_tokens, device_lock, set_dtype, to_device
    from resift.engines.pytorch.loading import load_cross_encoder
    from resift.engines.pytorch.source import ModelSource
except ImportError as error:
    raise MissingExtraError("the sentence-transformers engine", "sentence-transformers") from error


class SentenceTransformersScorer(ScorerBase):
    """Scores with a sentence-transformers `CrossEncoder`.

    Scores are the raw logits, whatever activation the model's files name. Unlike in `CrossEncoder.predict`, only
    documents are cut, never the query, and batches are limited by tokens. All batches are queued before the first
    score is read. A model that reads its pairs in another form (a chat template) is run by `predict`, which then
    truncates in its own way.

    Args:
        model: A Hugging Face id or a folder.
        long_documents: "truncate" scores the beginning of a long document and warns, "max_window" scores overlapping
            windows and takes the best, "first_window" scores the beginning without a warning.
        max_length: Tokens to read of query and document together, at least 16. Default: the model's limit, or less if
            its authors advise it.
        batch_tokens: Tokens in one batch, padding included. Bounds memory. Default: 2,048 on a CPU, 32,768 on a GPU.
        control_tokens: "model" reads a special token that a text spells, such as `[SEP]`, as the token itself, as
            sentence-transformers does; "text" reads its letters.
        device: "cpu", "cuda", "mps"... Default: sentence-transformers chooses.
        dtype: What the model computes in, except its last layer, which is always in float32 so that scores don't tie.
            Default: "bfloat16" on a GPU that supports it, else "float32".
        revision: Commit, tag or branch of a Hugging Face id.
        local_files_only: Never ask the Hugging Face hub.
        trust_remote_code: Run Python code that comes with the model. For a hub model `revision` must be a commit.
        allow_untrained_head: Load a model whose files lack weights of its scoring head, such as a bi-encoder or a bare
            encoder: they are random numbers, others at every load.
        instruction: What makes a document relevant, in words, for a model that reads chat messages: its template gets
            it as the system's message.

    Raises:
        ModelFileError: The model is not there, can't be loaded, reads no pairs, or is no reranker.
        InputError: An option is impossible for this model.
    """

    scale = Scale.LOGIT

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        long_documents: LongDocuments = "truncate",
        max_length: int | None = None,
        batch_tokens: int | None = None,
        control_tokens: ControlTokens = "model",
        device: str | None = None,
        dtype: Dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        allow_untrained_head: bool = False,
        instruction: str | None = None,
    ) -> None:
        self.name = os.fspath(model)
        self.long_documents = long_documents
        self.control_tokens = control_tokens
        self._source = source = ModelSource.find(self.name, revision, local_files_only, trust_remote_code)
        self.cross_encoder = load_cross_encoder(source, allow_untrained_head=allow_untrained_head, device=device)
        set_dtype(self.cross_encoder, self.cross_encoder.num_labels, self.cross_encoder.device, dtype)
        self.lock = device_lock(self.cross_encoder.device)
        config: Any = self.cross_encoder.config
        limit = min(self.cross_encoder.max_seq_length or 10**6, position_limit(config.to_dict()))
        entry = find(self.name)
        self.max_length = choose_max_length(limit, max_length, self.name, None if entry is None else entry.tuned_length)
        self.batch_tokens = choose_batch_tokens(self.cross_encoder.device, batch_tokens)
        try:
            self.pipeline = self._build_pipeline(long_documents, self.batch_tokens)
        except ValueError as error:  # a language model without a template for pairs
            if isinstance(error, InputError):
                raise
            raise ModelFileError(
                f"{self.name} reads no pairs: {error} To ask it as the authors of its family do, name their template "
                "as the scheme (`resift models` lists them)"
            ) from error
        if self.pipeline is None and (
            long_documents != "truncate" or max_length is not None or control_tokens != "model"
        ):
            raise InputError(
                f"{self.name} reads pairs in a form of its own: long_documents, max_length and control_tokens can't be "
                "chosen for it"
            )
        self._instruction = None if instruction is None else self._check_instruction(instruction)

    def with_instruction(self, instruction: str) -> Self:
        """Return the same model with an instruction. Raises InputError for a model that reads no chat messages."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, _instruction=self._check_instruction(instruction))
        copy.__dict__.pop("identity", None)
        return copy

    def _check_instruction(self, instruction: str) -> str:
        # Before a query it would be a longer query: no cross-encoder of plain pairs was taught to follow it.
        if self.pipeline is not None or not self.cross_encoder.supports("message"):
            raise no_instruction(self.name, "it reads plain pairs")
        return replace_half_pairs(check_instruction(instruction))

    @cached_property
    def identity(self) -> str | None:
        """Everything that decides the scores: the files, their precision, and how much of a text is read.

        None for a hub model whose commit is not known: it may change while its name stays the same.
        """
        config: Any = self.cross_encoder.config
        files = self._source.checksum(config)
        device = self.cross_encoder.device.type
        dtype = next(self.cross_encoder.parameters()).dtype
        tokens = "" if self.control_tokens == "model" else f" control_tokens={self.control_tokens}"
        words = "" if self._instruction is None else f" {sha256(self._instruction.encode()).hexdigest()[:16]}"
        return files and f"st {files} {dtype} {device} {self.max_length} {self.long_documents}{tokens}{words}"

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one logit per document for each request, all documents batched together.

        Raise InputError if the query alone is longer than the model reads.
        """
        if self.pipeline is not None:
            return self.pipeline.score(requests)
        return [self._predict(request) for request in requests]

    def _build_pipeline(self, long_documents: LongDocuments, batch_tokens: int) -> Pipeline | None:
        """Return the shared pipeline, or None if the model doesn't read pairs as its tokenizer joins them."""
        backend = copy_fast_tokenizer(self.cross_encoder)
        if backend is None:
            return None
        tokenizer = TextTokenizer(backend)
        tokenizer.read_control_tokens_as(self.control_tokens)
        template = tokenizer.pair_template(pad_id=self.cross_encoder.tokenizer.pad_token_id)
        names = shared_input_names(self.cross_encoder, tokenizer, template)
        if names is None:
            return None
        network = PairNetwork(self._build_forward(names), template, self.max_length)
        return Pipeline(tokenizer, network, long_documents, batch_tokens)

    def _build_forward(self, names: Sequence[str]) -> Forward:
        def forward(inputs: dict[str, NDArray[np.int64]]) -> DeviceLogits:
            with self.lock, torch.inference_mode():
                features: dict[str, Any] = {name: to_device(inputs[name], self.cross_encoder.device) for name in names}
                return DeviceLogits(to_logits(self.cross_encoder({**features, "modality": "text"})["scores"]))

        def forward_without_padding(inputs: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
            lengths = inputs["attention_mask"].sum(1)
            logits = np.empty(len(lengths), np.float32)
            for length in np.unique(lengths):
                rows = lengths == length
                logits[rows] = forward({name: array[rows, :length] for name, array in inputs.items()})
            return logits

        if not lacks_padding(self.cross_encoder):
            return forward
        network: Any = self.cross_encoder.transformers_model
        network.config.get_text_config().pad_token_id = -1  # no token: the last one of each row counts
        return forward_without_padding

    def _predict(self, request: Request) -> Scores:
        if not request.documents:
            return Scores(())
        query = normalise(request.query)
        pairs = [(query, normalise(document)) for document in request.documents]
        with self.lock:
            output = self.cross_encoder.predict(
                pairs, prompt=self._instruction, activation_fn=torch.nn.Identity(), show_progress_bar=False
            )
        return Scores(tuple(to_logits(np.asarray(output)).tolist()), Usage(pairs=len(pairs)))


def lacks_padding(model: CrossEncoder) -> bool:
    """Return whether rows of different lengths can't share a batch: the last token counts, and no padding is known."""
    network: Any = model.transformers_model
    counts_last_token = hasattr(network, "score") and not hasattr(network, "classifier")
    return counts_last_token and network.config.get_text_config().pad_token_id is None


def copy_fast_tokenizer(model: CrossEncoder) -> Tokenizer | None:
    """Return a copy of the model's fast tokenizer, whose settings may be changed, or None if it has none."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    return Tokenizer.from_str(backend.to_str()) if isinstance(backend, Tokenizer) else None


def shared_input_names(model: CrossEncoder, tokenizer: TextTokenizer, template: PairTemplate) -> list[str] | None:
    """Return the template's inputs that the model takes, or None if the model makes other ones of the same pair."""
    query, document = (tokens.ids for tokens in tokenizer.encode(["what eats", "pandas eat bamboo"]))
    ours = template.assemble([(query, document)])
    theirs = model.preprocess([("what eats", "pandas eat bamboo")])
    names = [name for name in ours if name in theirs]
    return names if all(np.array_equal(ours[name], theirs[name].cpu().numpy()) for name in names) else None
