"""The engine for late interaction (ColBERT): a vector per token, compared when query and document are scored."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift._util.call_site import warn_at_call_site
from resift.engines.common.pairs import choose_max_length, position_limit
from resift.errors import InputError, MissingExtraError, ModelFileError, TruncationWarning
from resift.models.contents import architecture
from resift.models.detect import is_late_interaction
from resift.scorer import LongDocuments, Request, Scale, ScorerBase, Scores, Span, Usage
from resift.text.batches import plan_batches
from resift.text.normal import normalise, normalise_all
from resift.text.tokenizer import TextTokenizer, Tokens

try:
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer
    from tokenizers import Tokenizer

    from resift.engines.pytorch.device import choose_batch_tokens
    from resift.engines.pytorch.head import OPTION, contents_of, locate
    from resift.engines.pytorch.loading import load_error
    from resift.engines.pytorch.own_tokenizer import set_own_tokenizer
    from resift.engines.pytorch.source import ModelSource
except ImportError as error:
    raise MissingExtraError("late interaction", "late-interaction") from error

STORED_PER_BATCH = 256  # documents in a batch of stored vectors: bounds memory
LATE_INTERACTION_MODES: tuple[LongDocuments, ...] = ("truncate", "first_window")
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # `encode_document` uses the first of these that a model has

Vectors = NDArray[np.floating[Any]]
"""One text's token vectors, (tokens, dimensions)."""


class LateInteractionScorer(ScorerBase):
    """Scores with a ColBERT-style model of sentence-transformers or pylate.

    A score is MaxSim (Khattab and Zaharia 2020, https://arxiv.org/abs/2004.12832): for each vector of the query the
    highest cosine with a vector of the document, summed over the query. Scores are comparable within one query only: a
    longer query has higher ones. A query is encoded once for all its documents and is never cut; one that is longer
    than the length to which the model pads queries is read whole, without padding.

    Args:
        model: A Hugging Face id or a folder.
        vectors: Token vectors by text, as `encode` returns them. These texts are not encoded again.
        long_documents: "truncate" scores the beginning of a long document and warns, "first_window" does so without a
            warning. There is no "max_window".
        max_length: Tokens to read of a document, at least 16. Default: the model's own document length.
        batch_tokens: Tokens in one batch, padding included. Bounds memory. Default: 2,048 on a CPU, 32,768 on a GPU.
        device: "cpu", "cuda", "mps"... Default: sentence-transformers chooses.
        revision: Commit, tag or branch of a Hugging Face id.
        local_files_only: Never ask the Hugging Face hub.
        trust_remote_code: Run Python code that comes with the model. For a hub model `revision` must be a commit.
        allow_untrained_head: Load a model that was not saved for late interaction: its projection is random numbers,
            others at every load.

    Raises:
        ModelFileError: The model is not there, can't be loaded, or is no late-interaction model.
        InputError: An option is impossible for this model.
    """

    scale = Scale.SIMILARITY

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        vectors: Mapping[str, Vectors] | None = None,
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
        self.vectors: Mapping[str, Vectors] = {} if vectors is None else vectors
        self.long_documents = long_documents
        source = ModelSource.find(self.name, revision, local_files_only, trust_remote_code)
        self._model = _load_model(source, device, allow_untrained_head)
        self.batch_tokens = choose_batch_tokens(self._model.device, batch_tokens)
        if self.batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, got {self.batch_tokens}")
        if long_documents not in LATE_INTERACTION_MODES:
            raise InputError(
                f"long_documents is one of {', '.join(LATE_INTERACTION_MODES)} for late interaction, "
                f"not {long_documents!r}; use max_length= to read more of a document"
            )
        self.query_length, self.max_length = _set_lengths(self._model, max_length, self.name)
        prompts = self._model.prompts
        self._prompt = next((prompts[name] for name in DOCUMENT_PROMPTS if name in prompts), None) or ""
        self._tokenizer = TextTokenizer(Tokenizer.from_str(self._model.tokenizer.backend_tokenizer.to_str()))
        self._special_token_count = self._count_special_tokens()
        self._options: dict[str, Any] = {
            "long_documents": long_documents,
            "max_length": max_length,
            "batch_tokens": batch_tokens,
            "device": device,
            "allow_untrained_head": allow_untrained_head,
            **source.load_options(),
        }
        # The model's tokenizer gets new settings for each call, so two threads would read each other's.
        self._lock = threading.Lock()

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return one MaxSim per document for each request. A document that several requests have is encoded once.

        Raise InputError if the query is longer than the model reads.
        """
        if not requests:
            return []
        started = time.perf_counter()
        queries = self._encode_queries([request.query for request in requests])
        occurrences: dict[str, list[tuple[int, int]]] = {}  # text -> (index of the request, index in its documents)
        for request_index, request in enumerate(requests):
            for index, text in enumerate(request.documents):
                occurrences.setdefault(text, []).append((request_index, index))
        results = [_QueryScores.empty(len(request.documents)) for request in requests]
        for batch in self._encode_batches(list(occurrences)):
            documents_by_request: dict[int, list[tuple[int, _EncodedDocument]]] = {}
            for document in batch:
                for request_index, index in occurrences[document.text]:
                    documents_by_request.setdefault(request_index, []).append((index, document))
            longest = max(document.tokens for document in batch)
            for request_index, documents in documents_by_request.items():
                scores = self._maxsim(queries[request_index], [document.vectors for _, document in documents])
                # A document that several requests share counts as encoded for the first of them.
                own = [document for _, document in documents if occurrences[document.text][0][0] == request_index]
                results[request_index].add(documents, scores, own, longest)
        seconds = time.perf_counter() - started
        total = max(1, sum(len(request.documents) for request in requests))
        return [result.to_scores(seconds * len(result.values) / total) for result in results]

    def encode(self, documents: Iterable[str]) -> dict[str, NDArray[np.float16]]:
        """Return the token vectors of each text, to store them and pass them as `vectors` later.

        Args:
            documents: The texts. Texts that occur twice are encoded once.

        Returns:
            Vectors by text, each (tokens, dimensions), in half precision: two bytes a number.

        Warns:
            TruncationWarning: Some texts are longer than the model reads.
        """
        vectors = {}
        cut = False
        for batch in self._encode_batches(list(dict.fromkeys(documents))):
            for document in batch:
                cut = cut or document.span is not None
                vectors[document.text] = document.vectors.cpu().numpy().astype(np.float16)
        if cut and self.long_documents != "first_window":
            warn_at_call_site(
                f"some documents are longer than {self.max_length} tokens, and only their beginning was encoded. Read "
                "more with max_length=, or set long_documents='first_window' if the beginning is enough",
                TruncationWarning,
            )
        return vectors

    def _encode_batches(self, texts: Sequence[str]) -> Iterator[list[_EncodedDocument]]:
        """Yield the texts' vectors in batches: first those of `self.vectors`, then new ones, longest texts first."""
        stored = [text for text in texts if text in self.vectors]
        for start in range(0, len(stored), STORED_PER_BATCH):
            chunk = stored[start : start + STORED_PER_BATCH]
            yield [_EncodedDocument(text, self._stored_vectors(text), 0, None) for text in chunk]
        new = [text for text in texts if text not in self.vectors]
        limit = self.max_length - self._special_token_count
        # Prompt and text are tokenised together: a tokenizer may join the end of the prompt with the first word.
        tokens = self._tokenizer.encode([self._prompt + text for text in new], limit)
        lengths = [min(len(text_tokens.ids), limit) + self._special_token_count for text_tokens in tokens]
        for rows in plan_batches(lengths, self.batch_tokens):
            batch = [normalise(_cut_document(new[row], tokens[row], limit, len(self._prompt))) for row in rows]
            with self._lock:
                vectors = self._model.encode_document(batch, batch_size=len(rows), show_progress_bar=False)
            yield [
                _EncodedDocument(new[row], row_vectors.float(), lengths[row], self._span(tokens[row], limit))
                for row, row_vectors in zip(rows, vectors, strict=True)
            ]

    def _encode_queries(self, queries: Sequence[str]) -> list[torch.Tensor]:
        prompt = self._model.prompts.get("query") or ""
        for query, tokens in zip(queries, self._tokenizer.encode([prompt + query for query in queries]), strict=True):
            length = len(tokens.ids) + self._special_token_count
            if length > self.query_length:
                raise InputError(
                    f"the query has {length} tokens, and {self.name} reads {self.query_length}: "
                    f"shorten the query {query[:40]!r}…"
                )
        with self._lock:
            return [
                vectors.float() for vectors in self._model.encode_query(normalise_all(queries), show_progress_bar=False)
            ]

    def _maxsim(self, query: torch.Tensor, documents: list[torch.Tensor]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self._model.similarity([query], documents)[0].cpu().numpy()
        return scores

    def _stored_vectors(self, text: str) -> torch.Tensor:
        vectors = np.asarray(self.vectors[text], np.float32)
        dimensions = self._model.get_embedding_dimension()
        if vectors.ndim != 2 or vectors.shape[1] != dimensions:
            raise InputError(
                f"the vectors kept for {text[:40]!r}… have the shape {vectors.shape}; {self.name} makes "
                f"(tokens, {dimensions}): were they encoded by another model?"
            )
        return torch.from_numpy(vectors).to(self._model.device)

    def _span(self, tokens: Tokens, limit: int) -> Span | None:
        """Return the part that was read of a text longer than `limit` tokens, else None."""
        if len(tokens.ids) <= limit:
            return None
        return Span(0, max(0, int(tokens.offsets[limit - 1, 1]) - len(self._prompt)), truncated=True)

    def _count_special_tokens(self) -> int:
        """Return how many tokens the model adds to a document, whatever its template is."""
        ids = self._model.preprocess(["a"], prompt=self._prompt, task="document")["input_ids"]
        return int(ids.numel()) - len(self._tokenizer.encode([self._prompt + "a"])[0].ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(LateInteractionScorer, self.name, vectors=self.vectors, **self._options), ())


class _EncodedDocument(NamedTuple):
    text: str
    vectors: torch.Tensor
    """(tokens, dimensions), without the tokens that the model skips."""
    tokens: int
    """Tokens that the network read of it; 0 if its vectors were stored."""
    span: Span | None
    """The part that was read, if it was cut."""


class _QueryScores(NamedTuple):
    """The scores of one query, filled in batch by batch."""

    values: NDArray[np.float64]
    spans: dict[int, Span]
    usages: list[Usage]

    @classmethod
    def empty(cls, documents: int) -> _QueryScores:
        return cls(np.empty(documents, np.float64), {}, [])

    def add(
        self,
        documents: list[tuple[int, _EncodedDocument]],
        scores: NDArray[np.float32],
        own: list[_EncodedDocument],
        longest: int,
    ) -> None:
        """Add the scores of some documents, given with their indices. `own` are those to be counted as encoded here."""
        self.values[[index for index, _ in documents]] = scores
        self.spans.update((index, document.span) for index, document in documents if document.span is not None)
        self.usages.append(
            Usage(
                pairs=len(documents),
                tokens=sum(document.tokens for document in own),
                padded_tokens=longest * len(own),
                batches=int(longest > 0 and len(own) > 0),
                cache_hits=len(documents) if longest == 0 else 0,
            )
        )

    def to_scores(self, seconds: float) -> Scores:
        usage = sum(self.usages, Usage(seconds={"model": seconds}))
        return Scores(tuple(self.values.tolist()), usage, self.spans)


def _load_model(source: ModelSource, device: str | None, allow_untrained_head: bool) -> MultiVectorEncoder:
    name = source.name
    config = source.read_config()
    if not allow_untrained_head:
        _check_saved_as(source, config)
    try:
        model = MultiVectorEncoder(name, device=device, **source.load_options())
    except Exception as error:  # the hub, torch and model classes raise all kinds of errors; callers catch one
        raise load_error(source, config, "sentence-transformers as a late-interaction model", error) from error
    if not source.is_folder and not allow_untrained_head:
        _check_saved_as(source, config)  # its files are in the cache by now
    if not isinstance(model[0], Transformer) or not hasattr(model.tokenizer, "backend_tokenizer"):
        raise ModelFileError(f"{name} does not begin with one transformer that has a fast tokenizer")
    set_own_tokenizer(model[0], source)
    model.eval()
    if model.device.type == "cpu":
        model.float()  # half precision on CPU is slower and ties scores
    return model


def _check_saved_as(source: ModelSource, config: dict[str, Any]) -> None:
    """Raise ModelFileError for a model that was not saved for late interaction: it would get a random projection."""
    file = locate(source, "config.json")
    if file is None or is_late_interaction(file.parent) or architecture(config).endswith("ForRetrieval"):
        return
    contents = contents_of(source, config)
    raise ModelFileError(
        f"{source.name} is no late-interaction model: it holds {contents.what}, and its token vectors would go through "
        f"a projection of random numbers, others at every load; {contents.use}. {OPTION}"
    )


def _set_lengths(model: MultiVectorEncoder, requested: int | None, name: str) -> tuple[int, int]:
    """Set and return how many tokens are read of a query and of a document.

    Of a query, all that the network can read; of a document, `requested` or what the model was tuned for.
    """
    transformer: Any = model[0]  # _load_model has checked that it is a Transformer
    config: Any = model.config
    limit = position_limit(config.to_dict())
    tuned_length = min(transformer.document_length or model.max_seq_length or limit, limit)
    transformer.document_length = tuned_length if requested is None else choose_max_length(limit, requested, name)
    # "min" pads a query to the same length as "fixed", but does not cut it there.
    transformer.query_length = limit
    if transformer.query_expansion is not None:
        transformer.query_expansion = {**transformer.query_expansion, "strategy": "min"}
    return limit, transformer.document_length


def _cut_document(text: str, tokens: Tokens, limit: int, prompt: int) -> str:
    """Return the text for the network: of one longer than `limit` tokens only the part that was tokenised."""
    return text if len(tokens.ids) <= limit else text[: int(tokens.offsets[-1, 1]) - prompt]
