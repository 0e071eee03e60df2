"""Language models as rerankers: asked with their authors' template, scored by the logits of the tokens that answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pairs import Forward, PairNetwork, check_labels, choose_max_length, to_logits
from resift.engines.common.pipeline import Pipeline, PromptText
from resift.errors import InputError, MissingExtraError, ModelFileError
from resift.models.catalogue import find
from resift.models.prompts import BOS, EOS, LEAD, PROMPTS, PromptTemplate
from resift.scorer import LongDocuments, Request, Scale, Scores
from resift.text.tokenizer import Ids, PairTemplate, TextTokenizer

try:
    import torch
    from sentence_transformers.util import get_device_name
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    from resift.engines.pytorch.device import DeviceLogits, choose_batch_tokens, device_lock, to_device
    from resift.engines.pytorch.source import ModelSource
except ImportError as error:
    raise MissingExtraError("the engine for language models", "sentence-transformers") from error

Read = Callable[[Tensor, Tensor], Tensor]
"""Ids and mask, (rows, tokens), to scores, (rows,) or (rows, labels)."""


class GenerativeScorer:
    """Scores with a language model, a Hugging Face id or a folder, as the authors of its template do.

    `prompt` is a name of `catalogue.prompts.PROMPTS`; a model of the catalogue needs none. A causal model's score is
    read at its last token, an encoder-decoder's at the first token of its answer, a classifier's is its logit. With
    two answers it is the log-odds between them (Scale.LOGIT), with one that answer's logit (Scale.SIMILARITY).

    Only documents are cut, never the query or the template; a document's text can't stand for a special token.
    Weights are float32 on CPU. Raises ModelFileError for a model that is not there, can't be loaded or whose template
    nobody named, InputError for an impossible option.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        prompt: str | None = None,
        *,
        instruction: str | None = None,
        long_documents: LongDocuments = "truncate",
        max_length: int | None = None,
        batch_tokens: int | None = None,
        device: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = os.fspath(model)
        self.long_documents = long_documents
        self._source = source = ModelSource(self.name, revision, local_files_only, trust_remote_code)
        config = source.read_config()
        asked = _prompt(self.name, prompt)
        before_query, after_query = asked.around_query(instruction)
        self._wording = repr((asked, before_query, after_query))
        self._device = torch.device(device or get_device_name())
        on_cpu = self._device.type == "cpu"
        self._model, tokenizer = _load(source, config, on_cpu)
        self._model.to(self._device).eval()
        self._turn = device_lock(self._device)
        limit = config.get("max_position_embeddings") or config.get("n_positions") or asked.length
        self.max_length = choose_max_length(int(limit), max_length, self.name, asked.length)
        backend: Tokenizer = tokenizer.backend_tokenizer
        read, self.scale = self._reading(asked, backend)
        left = not self._model.config.is_encoder_decoder
        network = PairNetwork(self._forward(read), _template(asked, tokenizer, left), self.max_length)
        texts = Tokenizer.from_str(backend.to_str())
        texts.encode_special_tokens = True  # a text that spells a special token is text
        self._pipeline = Pipeline(
            TextTokenizer(texts),
            network,
            long_documents,
            choose_batch_tokens(self._device, batch_tokens),
            PromptText(before_query, after_query, LEAD),
        )

    @cached_property
    def identity(self) -> str | None:
        """What decides the scores: the files, their precision, the template, and how much of a text is read.

        None for a hub model whose commit is not known: it may change under its name.
        """
        files = self._source.checksum(self._model.config)
        wording = sha256(self._wording.encode()).hexdigest()[:16]
        kind = f"{self._model.dtype} {self._device.type} {wording}"
        return files and f"lm {files} {kind} {self.max_length} {self.long_documents}"

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One number per document. Raises InputError when query and template alone are longer than the model reads."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, their documents batched together."""
        return self._pipeline.score(requests)

    def _reading(self, prompt: PromptTemplate, backend: Tokenizer) -> tuple[Read, Scale]:
        """How a score is read of this kind of model, and what it means."""
        model = self._model
        if type(model).__name__.endswith("ForSequenceClassification"):
            check_labels(model.config.num_labels, self.name)
            return (lambda ids, mask: _last_logits(model, ids, mask)), Scale.LOGIT
        yes = _token(backend, prompt.yes, self.name)
        no = None if prompt.no is None else _token(backend, prompt.no, self.name)
        logits = _first_logits if model.config.is_encoder_decoder else _last_token_logits
        scale = Scale.SIMILARITY if no is None else Scale.LOGIT

        def read(ids: Tensor, mask: Tensor) -> Tensor:
            answers = logits(model, ids, mask).float()
            return answers[:, yes] if no is None else answers[:, yes] - answers[:, no]

        return read, scale

    def _forward(self, read: Read) -> Forward:
        def forward(inputs: dict[str, NDArray[np.int64]]) -> DeviceLogits:
            with self._turn, torch.inference_mode():
                ids, mask = (to_device(inputs[name], self._device) for name in ("input_ids", "attention_mask"))
                return DeviceLogits(to_logits(read(ids, mask)))

        return forward


def _last_token_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Of the token that would come next."""
    logits: Tensor = model(
        input_ids=ids, attention_mask=mask, position_ids=_positions(mask), logits_to_keep=1, use_cache=False
    ).logits
    return logits[:, -1]


def _first_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Of the first token of the answer."""
    start = torch.full((len(ids), 1), model.config.decoder_start_token_id, device=ids.device)
    logits: Tensor = model(input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False).logits
    return logits[:, 0]


def _last_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Of a classifier over the last token."""
    logits: Tensor = model(input_ids=ids, attention_mask=mask, position_ids=_positions(mask), use_cache=False).logits
    return logits


def _positions(mask: Tensor) -> Tensor:
    """Every row counts from its first token, whatever padding stands before it."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _prompt(name: str, said: str | None) -> PromptTemplate:
    """The template that was named, or that of the model's row."""
    entry = find(name)
    wanted = said or (entry.prompt if entry is not None else None)
    if wanted is None:
        ways = ", ".join(f"{known}:" for known in PROMPTS)
        raise ModelFileError(
            f"{name} is a language model, and nothing says how it was taught to answer: name its template instead of "
            f"lm: or no scheme at all ({ways})"
        )
    if wanted not in PROMPTS:
        raise InputError(f"there is no template {wanted!r}; there is {', '.join(PROMPTS)}")
    return PROMPTS[wanted]


def _load(source: ModelSource, config: dict[str, Any], on_cpu: bool) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    loader = _loader(source.name, config)
    # Half precision on CPU is slower and ties scores.
    dtype = torch.float32 if on_cpu else "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, **source.load_options())
        model = loader.from_pretrained(source.name, dtype=dtype, **source.load_options())
    except Exception as error:  # the hub, torch and every model class raise what they like; callers catch one type
        raise ModelFileError(f"{source.name} can't be loaded by transformers: {error}") from error
    if not isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer):
        raise ModelFileError(f"{source.name} has no fast tokenizer (tokenizer.json)")
    if model.config.pad_token_id is None:
        model.config.pad_token_id = _pad(tokenizer)  # by which a classifier finds a row's last token
    return model, tokenizer


def _loader(name: str, config: dict[str, Any]) -> Any:
    if not config:
        raise ModelFileError(f"{name} can't be loaded: it has no config.json, or the hub could not be asked for it")
    architecture = (config.get("architectures") or ["none"])[0]
    if architecture.endswith("ForCausalLM"):
        return AutoModelForCausalLM
    if architecture.endswith("ForSequenceClassification"):
        return AutoModelForSequenceClassification
    if architecture.endswith("ForConditionalGeneration") and config.get("is_encoder_decoder", False):
        return AutoModelForSeq2SeqLM
    raise ModelFileError(
        f"{name} is no language model over text: its config.json names the architecture {architecture}, and the engine "
        "runs ...ForCausalLM, encoder-decoders for ...ForConditionalGeneration and ...ForSequenceClassification"
    )


def _template(prompt: PromptTemplate, tokenizer: Any, left: bool) -> PairTemplate:
    """The template's own tokens."""
    special = {BOS: tokenizer.bos_token, EOS: tokenizer.eos_token}

    def ids(pieces: Sequence[str]) -> Ids:
        texts = [special.get(piece, piece) for piece in pieces]
        found = [tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids for text in texts if text]
        return np.array([one for piece in found for one in piece], np.int32)

    return PairTemplate(
        ids(prompt.before), ids(prompt.between), ids(prompt.after), (0, 0, 0, 0, 0), _pad(tokenizer), 0, left
    )


def _pad(tokenizer: Any) -> int:
    found = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(found or 0)


def _token(backend: Tokenizer, answer: str, name: str) -> int:
    found = backend.token_to_id(answer)
    if found is None:
        raise ModelFileError(f"{name} has no token {answer!r}, which its template answers with")
    return found
