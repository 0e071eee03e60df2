"""The engine for language models: their authors' prompt template, scored by the logits of the answer tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pairs import Forward, PairNetwork, check_labels, choose_max_length, to_logits
from resift.engines.common.pipeline import Pipeline, PromptText
from resift.errors import InputError, MissingExtraError, ModelFileError
from resift.models.catalogue import find
from resift.models.contents import label_names
from resift.models.prompts import BOS, EOS, LEAD, PROMPTS, PromptTemplate
from resift.scorer import LongDocuments, Request, Scale, ScorerBase, Scores, no_instruction
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
    from resift.engines.pytorch.head import contents_of, matrices, untrained_error
    from resift.engines.pytorch.loading import load_error
    from resift.engines.pytorch.own_tokenizer import keep_own_tokenizer
    from resift.engines.pytorch.source import ModelSource
except ImportError as error:
    raise MissingExtraError("the engine for language models", "sentence-transformers") from error

ReadScores = Callable[[Tensor, Tensor], Tensor]
"""Maps ids and attention mask, each (rows, tokens), to scores, (rows,) or (rows, labels)."""


class GenerativeScorer(ScorerBase):
    """Scores with a language model, in the way of the authors of its prompt template.

    The score of a causal model is read after its last token, that of an encoder-decoder at the first token of its
    answer; that of a classifier is its logit. A template with two answers gives the log-odds between them
    (`Scale.LOGIT`), one with a single answer the logit of its token (`Scale.SIMILARITY`).

    Only documents are cut, never the query or the template. Special tokens spelled out in a text are read as text.
    Weights are float32 on a CPU; on a GPU they have the dtype they were saved in.

    Args:
        model: A Hugging Face id or a folder.
        prompt: Name of a template in `resift.models.prompts.PROMPTS`. Default: that of the catalogue, which has one for
            each of its language models.
        instruction: What makes a document relevant, in words, if the template takes it. Default: the authors' own.
        long_documents: "truncate" scores the beginning of a long document and warns, "max_window" scores overlapping
            windows and takes the best, "first_window" scores the beginning without a warning.
        max_length: Tokens to read of the whole prompt, at least 16. Default: the template's length.
        batch_tokens: Tokens in one batch, padding included. Bounds memory. Default: 2,048 on a CPU, 32,768 on a GPU.
        device: "cpu", "cuda", "mps"... Default: the best that is there.
        revision: Commit, tag or branch of a Hugging Face id.
        local_files_only: Never ask the Hugging Face hub.
        trust_remote_code: Run Python code that comes with the model. For a hub model `revision` must be a commit.
        allow_untrained_head: Load a model whose files lack weights: they are random numbers, others at every load.

    Raises:
        ModelFileError: The model is not there, can't be loaded or is no language model, or no template is known for it.
        InputError: There is no such template, or an option is impossible for this model.
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
        allow_untrained_head: bool = False,
    ) -> None:
        self.name = os.fspath(model)
        self.long_documents = long_documents
        self._source = source = ModelSource.find(self.name, revision, local_files_only, trust_remote_code)
        config = source.read_config()
        template = _find_prompt(source, config, prompt)
        self._template = template
        self._prompt_key, prompt_text = self._prompt_with(instruction)
        self._device = torch.device(device or get_device_name())
        on_cpu = self._device.type == "cpu"
        self._model, tokenizer = _load_model(source, config, on_cpu, allow_untrained_head)
        self._model.to(self._device).eval()
        self._lock = device_lock(self._device)
        limit = config.get("max_position_embeddings") or config.get("n_positions") or template.length
        self.max_length = choose_max_length(int(limit), max_length, self.name, template.length)
        backend: Tokenizer = tokenizer.backend_tokenizer
        read_scores, self.scale = self._score_reader(template, backend)
        pad_left = not self._model.config.is_encoder_decoder
        network = PairNetwork(
            self._build_forward(read_scores), _pair_template(template, tokenizer, pad_left), self.max_length
        )
        text_tokenizer = Tokenizer.from_str(backend.to_str())
        text_tokenizer.encode_special_tokens = True  # special tokens spelled out in a text are read as text
        self.pipeline = Pipeline(
            TextTokenizer(text_tokenizer),
            network,
            long_documents,
            choose_batch_tokens(self._device, batch_tokens),
            prompt_text,
        )

    def with_instruction(self, instruction: str) -> Self:
        """Return the same model with an instruction. Raises InputError where its template has no place for one."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.pop("identity", None)
        copy._prompt_key, prompt_text = self._prompt_with(instruction)
        copy.pipeline = replace(self.pipeline, prompt=prompt_text)
        return copy

    def _prompt_with(self, instruction: str | None) -> tuple[str, PromptText]:
        """Return what tells this prompt from others, and the text around query and document."""
        if instruction is not None and not self._template.takes_instruction:
            raise no_instruction(self.name, f"its template has no place for an instruction: {self._template.query!r}")
        before_query, after_query = self._template.around_query(instruction)
        return repr((self._template, before_query, after_query)), PromptText(before_query, after_query, LEAD)

    @cached_property
    def identity(self) -> str | None:
        """Everything that decides the scores: the files, their precision, the template, how much of a text is read.

        None for a hub model whose commit is not known: it may change while its name stays the same.
        """
        files = self._source.checksum(self._model.config)
        prompt = sha256(self._prompt_key.encode()).hexdigest()[:16]
        kind = f"{self._model.dtype} {self._device.type} {prompt}"
        return files and f"lm {files} {kind} {self.max_length} {self.long_documents}"

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one score per document for each request, all documents batched together.

        Raise InputError if query and template alone are too long for the model.
        """
        return self.pipeline.score(requests)

    def _score_reader(self, prompt: PromptTemplate, backend: Tokenizer) -> tuple[ReadScores, Scale]:
        """Return the function that reads scores from this kind of model, and their scale."""
        model = self._model
        if type(model).__name__.endswith("ForSequenceClassification"):
            check_labels(model.config.num_labels, self.name, label_names(model.config.to_dict()))
            return (lambda ids, mask: _classifier_logits(model, ids, mask)), Scale.LOGIT
        yes = _answer_token(backend, prompt.yes, self.name)
        no = None if prompt.no is None else _answer_token(backend, prompt.no, self.name)
        token_logits = _first_answer_logits if model.config.is_encoder_decoder else _next_token_logits
        scale = Scale.SIMILARITY if no is None else Scale.LOGIT

        def read_scores(ids: Tensor, mask: Tensor) -> Tensor:
            answers = token_logits(model, ids, mask).float()
            return answers[:, yes] if no is None else answers[:, yes] - answers[:, no]

        return read_scores, scale

    def _build_forward(self, read_scores: ReadScores) -> Forward:
        def forward(inputs: dict[str, NDArray[np.int64]]) -> DeviceLogits:
            with self._lock, torch.inference_mode():
                ids, mask = (to_device(inputs[name], self._device) for name in ("input_ids", "attention_mask"))
                return DeviceLogits(to_logits(read_scores(ids, mask)))

        return forward


def _next_token_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return a causal model's logits for the token after the last one, (rows, vocabulary)."""
    logits: Tensor = model(
        input_ids=ids, attention_mask=mask, position_ids=_position_ids(mask), logits_to_keep=1, use_cache=False
    ).logits
    return logits[:, -1]


def _first_answer_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return an encoder-decoder's logits for the first token of its answer, (rows, vocabulary)."""
    start = torch.full((len(ids), 1), model.config.decoder_start_token_id, device=ids.device)
    logits: Tensor = model(input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False).logits
    return logits[:, 0]


def _classifier_logits(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the logits of a classifier over the last token, (rows, labels)."""
    logits: Tensor = model(input_ids=ids, attention_mask=mask, position_ids=_position_ids(mask), use_cache=False).logits
    return logits


def _position_ids(mask: Tensor) -> Tensor:
    """Return positions that count from each row's first token, whatever padding stands before it."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _find_prompt(source: ModelSource, config: dict[str, Any], requested: str | None) -> PromptTemplate:
    """Return the template named `requested`, or the one that the catalogue has for the model."""
    name = source.name
    entry = find(name)
    prompt = requested or (entry.prompt if entry is not None else None)
    if prompt is None:
        contents = contents_of(source, config)
        if contents.kind not in ("language-model", "other"):
            raise ModelFileError(
                f"{name} is no language model: it holds {contents.what}; {contents.use}, without lm: before it"
            )
        schemes = ", ".join(f"{known}:" for known in PROMPTS)
        raise ModelFileError(
            f"{name} is a language model, and nothing says how it was taught to answer: name its template instead of "
            f"lm: or no scheme at all ({schemes})"
        )
    if prompt not in PROMPTS:
        raise InputError(f"there is no template {prompt!r}; there is {', '.join(PROMPTS)}")
    return PROMPTS[prompt]


def _load_model(source: ModelSource, config: dict[str, Any], on_cpu: bool, untrained: bool) -> tuple[Any, Any]:
    """Return the model and its tokenizer. Raise ModelFileError where weights are missing, unless `untrained`."""
    model_class = _model_class(source.name, config)
    # Half precision on CPU is slower and ties scores.
    dtype = torch.float32 if on_cpu else "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, **source.load_options())
        model, report = model_class.from_pretrained(
            source.name, dtype=dtype, output_loading_info=True, **source.load_options()
        )
    except Exception as error:  # the hub, torch and model classes raise all kinds of errors; callers catch one
        raise load_error(source, config, "transformers", error) from error
    missing = sorted(matrices(model) & set(report["missing_keys"]))
    if missing and not untrained:
        raise untrained_error(missing, source, config)
    tokenizer = keep_own_tokenizer(tokenizer, source)
    if not isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer):
        raise ModelFileError(f"{source.name} has no fast tokenizer (tokenizer.json)")
    if tokenizer.cls_token is not None and tokenizer.sep_token is not None:
        raise ModelFileError(
            f"{source.name} reads pairs as its tokenizer joins them ({tokenizer.cls_token} ... {tokenizer.sep_token}), "
            "and no template of a language model: leave out the scheme"
        )
    if model.config.pad_token_id is None:
        model.config.pad_token_id = _pad_id(tokenizer)  # a classifier finds a row's last token by it
    return model, tokenizer


def _model_class(name: str, config: dict[str, Any]) -> Any:
    if not config:
        raise ModelFileError(f"{name} can't be loaded: it has no config.json, or the hub could not be asked for it")
    architecture = (config.get("architectures") or ["none"])[0]
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return AutoModelForCausalLM
    if architecture.endswith("ForSequenceClassification"):
        return AutoModelForSequenceClassification
    if architecture.endswith("ForConditionalGeneration") and config.get("is_encoder_decoder", False):
        return AutoModelForSeq2SeqLM
    raise ModelFileError(
        f"{name} is no language model over text: its config.json names the architecture {architecture}, and the engine "
        "runs ...ForCausalLM, encoder-decoders for ...ForConditionalGeneration and ...ForSequenceClassification"
    )


def _pair_template(prompt: PromptTemplate, tokenizer: Any, pad_left: bool) -> PairTemplate:
    """Return the tokens of the prompt template around query and document."""
    special = {BOS: tokenizer.bos_token, EOS: tokenizer.eos_token}

    def ids(pieces: Sequence[str]) -> Ids:
        texts = [special.get(piece, piece) for piece in pieces]
        backend = tokenizer.backend_tokenizer
        encodings = [backend.encode(text, add_special_tokens=False) for text in texts if text]
        return np.array([token for encoding in encodings for token in encoding.ids], np.int32)

    return PairTemplate(
        ids(prompt.before), ids(prompt.between), ids(prompt.after), (0, 0, 0, 0, 0), _pad_id(tokenizer), 0, pad_left
    )


def _pad_id(tokenizer: Any) -> int:
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(pad_id or 0)


def _answer_token(backend: Tokenizer, answer: str, name: str) -> int:
    token = backend.token_to_id(answer)
    if token is None:
        raise ModelFileError(f"{name} has no token {answer!r}, which its template answers with")
    return token
