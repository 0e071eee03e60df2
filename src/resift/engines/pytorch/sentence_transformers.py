"""Any Hugging Face cross-encoder, through sentence-transformers and torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pairs import Forward, PairNetwork, check_labels, choose_max_length, position_limit, to_logits
from resift.engines.common.pipeline import Pipeline
from resift.errors import InputError, MissingExtraError, ModelFileError
from resift.models.catalogue import find
from resift.models.options import Dtype
from resift.scorer import LongDocuments, Request, Scale, Scores, Usage
from resift.text.tokenizer import PairTemplate, TextTokenizer

try:
    import torch
    from sentence_transformers import CrossEncoder
    from tokenizers import Tokenizer

    from resift.engines.pytorch.device import DeviceLogits, choose_batch_tokens, device_lock, set_dtype, to_device
    from resift.engines.pytorch.source import ModelSource
except ImportError as error:
    raise MissingExtraError("the sentence-transformers engine", "sentence-transformers") from error


class SentenceTransformersScorer:
    """Scores with a sentence-transformers `CrossEncoder`: a Hugging Face id or a folder.

    Scores are the raw logits, whatever activation the model's files ask for. Unlike `predict`, only documents are
    cut, never the query, and batches are made by tokens. A model that reads its pairs in a form of its own (a chat
    template) is left to `predict`, which then truncates as it does.

    It computes in float32, and on a card that has bfloat16 in that, but for the last layer, so that scores don't
    tie; `dtype` says otherwise. All batches are queued before the first score is read.

    Raises ModelFileError for a model that is not there or can't be loaded, InputError for an impossible option.
    """

    scale = Scale.LOGIT

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        long_documents: LongDocuments = "truncate",
        max_length: int | None = None,
        batch_tokens: int | None = None,
        device: str | None = None,
        dtype: Dtype | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = os.fspath(model)
        self.long_documents = long_documents
        self._source = source = ModelSource(self.name, revision, local_files_only, trust_remote_code)
        source.read_config()  # for its checks
        try:
            self._model = CrossEncoder(self.name, device=device, **source.load_options())
        except Exception as error:  # the hub, torch and every model class raise what they like; callers catch one type
            raise ModelFileError(f"{self.name} can't be loaded by sentence-transformers: {error}") from error
        self._model.eval()
        check_labels(self._model.num_labels, self.name)
        set_dtype(self._model, self._model.num_labels, self._model.device, dtype)
        self._turn = device_lock(self._model.device)
        limit = min(self._model.max_seq_length or 10**6, position_limit(self._model.config.to_dict()))
        entry = find(self.name)
        self.max_length = choose_max_length(limit, max_length, self.name, None if entry is None else entry.tuned_length)
        self.batch_tokens = choose_batch_tokens(self._model.device, batch_tokens)
        try:
            self._pipeline = self._build(long_documents, self.batch_tokens)
        except ValueError as error:  # a language model without a template for pairs
            if isinstance(error, InputError):
                raise
            raise ModelFileError(
                f"{self.name} reads no pairs: {error} To ask it as the authors of its family do, name their template "
                "as the scheme (`resift models` lists them)"
            ) from error
        if self._pipeline is None and (long_documents != "truncate" or max_length is not None):
            raise InputError(
                f"{self.name} reads pairs in a form of its own: long_documents and max_length can't be chosen for it"
            )

    @cached_property
    def identity(self) -> str | None:
        """What decides the scores: the files, their precision, and how much of a text is read.

        None for a hub model whose commit is not known: it may change under its name.
        """
        files = self._source.checksum(self._model.config)
        device = self._model.device.type
        dtype = next(self._model.parameters()).dtype
        return files and f"st {files} {dtype} {device} {self.max_length} {self.long_documents}"

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One logit per document. Raises InputError when the query alone is longer than the model reads."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, their documents batched together."""
        if self._pipeline is not None:
            return self._pipeline.score(requests)
        return [self._predict(request) for request in requests]

    def _build(self, long_documents: LongDocuments, batch_tokens: int) -> Pipeline | None:
        """The shared pipeline, if this model reads pairs the way its tokenizer joins them."""
        backend = copy_fast_tokenizer(self._model)
        if backend is None:
            return None
        tokenizer = TextTokenizer(backend)
        template = tokenizer.pair_template(pad=self._model.tokenizer.pad_token_id)
        names = shared_input_names(self._model, tokenizer, template)
        if names is None:
            return None
        network = PairNetwork(self._forward(names), template, self.max_length)
        return Pipeline(tokenizer, network, long_documents, batch_tokens)

    def _forward(self, names: Sequence[str]) -> Forward:
        def forward(inputs: dict[str, NDArray[np.int64]]) -> DeviceLogits:
            with self._turn, torch.inference_mode():
                features: dict[str, Any] = {name: to_device(inputs[name], self._model.device) for name in names}
                return DeviceLogits(to_logits(self._model({**features, "modality": "text"})["scores"]))

        return forward

    def _predict(self, request: Request) -> Scores:
        if not request.documents:
            return Scores(())
        pairs = [(request.query, document) for document in request.documents]
        with self._turn:
            output = self._model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return Scores(tuple(to_logits(np.asarray(output)).tolist()), Usage(pairs=len(pairs)))


def copy_fast_tokenizer(model: CrossEncoder) -> Tokenizer | None:
    """A copy of the model's tokenizer (settings are changed on it, which the model must not notice), or None."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    return Tokenizer.from_str(backend.to_str()) if isinstance(backend, Tokenizer) else None


def shared_input_names(model: CrossEncoder, tokenizer: TextTokenizer, template: PairTemplate) -> list[str] | None:
    """The inputs the model takes of those a template makes; None if it would make others of the same pair."""
    query, document = (one.ids for one in tokenizer.encode(["what eats", "pandas eat bamboo"]))
    ours = template.assemble([(query, document)])
    theirs = model.preprocess([("what eats", "pandas eat bamboo")])
    names = [name for name in ours if name in theirs]
    return names if all(np.array_equal(ours[name], theirs[name].cpu().numpy()) for name in names) else None
