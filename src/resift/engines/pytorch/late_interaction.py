"""Late interaction (ColBERT): a vector for every token, and query and document meet only when those are compared."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resift.engines.common.pairs import choose_max_length, position_limit
from resift.errors import InputError, MissingExtraError, ModelFileError, TruncationWarning
from resift.scorer import LongDocuments, Request, Scale, Scores, Span, Usage
from resift.text.batches import plan_batches
from resift.text.tokenizer import TextTokenizer, Tokens

try:
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer
    from tokenizers import Tokenizer

    from resift.engines.pytorch.device import choose_batch_tokens
    from resift.engines.pytorch.source import ModelSource
except ImportError as error:
    raise MissingExtraError("late interaction", "late-interaction") from error

STORED = 256  # documents whose vectors are known are compared so many at a time: bounds memory
MODES: tuple[LongDocuments, ...] = ("truncate", "first_window")
PROMPTS = ("document", "passage", "corpus")  # of a document: the first that a model has, as `encode_document` takes it

Vectors = NDArray[np.floating[Any]]
"""One text's token vectors, (tokens, dimensions)."""


class LateInteractionScorer:
    """Scores with a ColBERT-style model, sentence-transformers' or pylate's: a Hugging Face id or a folder.

    A score is MaxSim (Khattab and Zaharia 2020, https://arxiv.org/abs/2004.12832): each vector of the query looks
    for its like in the document, and the cosines it finds add up. It orders documents for one query; a longer query
    has higher scores.

    A query is encoded once for its whole list and never cut: one longer than the length to which the model fills
    queries up is read whole, and not filled up. Of a document the model's own document length is read, or
    `max_length`. `vectors` holds what `encode` gave for texts that are known beforehand; those aren't encoded again.

    Raises ModelFileError for a model that is not there or can't be loaded, InputError for an impossible option.
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
    ) -> None:
        self.name = os.fspath(model)
        self.vectors: Mapping[str, Vectors] = {} if vectors is None else vectors
        self.long_documents = long_documents
        source = ModelSource(self.name, revision, local_files_only, trust_remote_code)
        self._model = _load(source, device)
        self.batch_tokens = choose_batch_tokens(self._model.device, batch_tokens)
        if self.batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, got {self.batch_tokens}")
        if long_documents not in MODES:
            raise InputError(
                f"long_documents is one of {', '.join(MODES)} for late interaction, not {long_documents!r}; "
                "max_length= has more of a document read"
            )
        self.query_length, self.max_length = _set_lengths(self._model, max_length, self.name)
        self._prompt = next((self._model.prompts[name] for name in PROMPTS if name in self._model.prompts), None) or ""
        self._tokenizer = TextTokenizer(Tokenizer.from_str(self._model.tokenizer.backend_tokenizer.to_str()))
        self._extra = self._special_tokens()
        self._options: dict[str, Any] = {
            "long_documents": long_documents,
            "max_length": max_length,
            "batch_tokens": batch_tokens,
            "device": device,
            **source.load_options(),
        }
        # Its tokenizer is told anew for each call how to cut and pad, so that two threads would read each other's.
        self._turn = threading.Lock()

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One MaxSim per document. Raises InputError when the query is longer than the model reads."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries; a document that several of them have is encoded once."""
        if not requests:
            return []
        started = time.perf_counter()
        queries = self._encode_queries([request.query for request in requests])
        places: dict[str, list[tuple[int, int]]] = {}
        for number, request in enumerate(requests):
            for place, text in enumerate(request.documents):
                places.setdefault(text, []).append((number, place))
        answers = [_Answer.of(len(request.documents)) for request in requests]
        for batch in self._batches(list(places)):
            meetings: dict[int, list[tuple[int, _Document]]] = {}
            for document in batch:
                for number, place in places[document.text]:
                    meetings.setdefault(number, []).append((place, document))
            for number, met in meetings.items():
                found = self._maxsim(queries[number], [document.vectors for _, document in met])
                # What several queries share was encoded for the first of them.
                own = [document for _, document in met if places[document.text][0][0] == number]
                answers[number].add(met, found, own, max(document.tokens for document in batch))
        seconds = time.perf_counter() - started
        total = max(1, sum(len(request.documents) for request in requests))
        return [answer.scores(seconds * len(answer.values) / total) for answer in answers]

    def encode(self, documents: Iterable[str]) -> dict[str, NDArray[np.float16]]:
        """The token vectors of each text, (tokens, dimensions), by the text: to be kept, and given back as `vectors`.

        Half precision takes two bytes a number. Warns of texts that are longer than the model reads.
        """
        kept = {}
        cut = 0
        for batch in self._batches(list(dict.fromkeys(documents))):
            for document in batch:
                cut += document.span is not None
                kept[document.text] = document.vectors.cpu().numpy().astype(np.float16)
        if cut and self.long_documents != "first_window":
            warnings.warn(
                f"{cut} of {len(kept)} documents are longer than {self.max_length} tokens: only their beginning was "
                "encoded. max_length= has more read, long_documents='first_window' says the beginning is enough",
                TruncationWarning,
                stacklevel=2,
            )
        return kept

    def _batches(self, texts: Sequence[str]) -> Iterator[list[_Document]]:
        """The texts' vectors, a batch at a time: those that are known, then the others, by length."""
        known = [text for text in texts if text in self.vectors]
        for start in range(0, len(known), STORED):
            yield [_Document(text, self._stored(text), 0, None) for text in known[start : start + STORED]]
        unknown = [text for text in texts if text not in self.vectors]
        room = self.max_length - self._extra
        # The prompt is part of what is tokenised: a tokenizer may join what stands before a text with its first word.
        tokens = self._tokenizer.encode([self._prompt + text for text in unknown], room)
        lengths = [min(len(one.ids), room) + self._extra for one in tokens]
        for rows in plan_batches(lengths, self.batch_tokens):
            read = [_beginning(unknown[row], tokens[row], room, len(self._prompt)) for row in rows]
            with self._turn:
                vectors = self._model.encode_document(read, batch_size=len(rows), show_progress_bar=False)
            yield [
                _Document(unknown[row], vectors[at].float(), lengths[row], self._span(tokens[row], room))
                for at, row in enumerate(rows)
            ]

    def _encode_queries(self, queries: Sequence[str]) -> list[torch.Tensor]:
        prompt = self._model.prompts.get("query") or ""
        for query, tokens in zip(queries, self._tokenizer.encode([prompt + one for one in queries]), strict=True):
            length = len(tokens.ids) + self._extra
            if length > self.query_length:
                raise InputError(
                    f"the query has {length} tokens, and {self.name} reads {self.query_length}: "
                    f"shorten the query {query[:40]!r}…"
                )
        with self._turn:
            return [one.float() for one in self._model.encode_query(list(queries), show_progress_bar=False)]

    def _maxsim(self, query: torch.Tensor, documents: list[torch.Tensor]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self._model.similarity([query], documents)[0].cpu().numpy()
        return scores

    def _stored(self, text: str) -> torch.Tensor:
        found = np.asarray(self.vectors[text], np.float32)
        wanted = self._model.get_embedding_dimension()
        if found.ndim != 2 or found.shape[1] != wanted:
            raise InputError(
                f"the vectors kept for {text[:40]!r}… have the shape {found.shape}; {self.name} makes "
                f"(tokens, {wanted}): were they encoded by another model?"
            )
        return torch.from_numpy(found).to(self._model.device)

    def _span(self, tokens: Tokens, room: int) -> Span | None:
        """Which part of a text that is too long was read."""
        if len(tokens.ids) <= room:
            return None
        return Span(0, max(0, int(tokens.offsets[room - 1, 1]) - len(self._prompt)), truncated=True)

    def _special_tokens(self) -> int:
        """How many tokens the model puts around a document, whatever its template is."""
        whole = self._model.preprocess(["a"], prompt=self._prompt, task="document")["input_ids"]
        return int(whole.numel()) - len(self._tokenizer.encode([self._prompt + "a"])[0].ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(LateInteractionScorer, self.name, vectors=self.vectors, **self._options), ())


class _Document(NamedTuple):
    text: str
    vectors: torch.Tensor
    tokens: int
    """Tokens the network read for it; 0 where the vectors were known."""
    span: Span | None


class _Answer(NamedTuple):
    """What is gathered for one query, batch by batch."""

    values: NDArray[np.float64]
    spans: dict[int, Span]
    usages: list[Usage]

    @classmethod
    def of(cls, documents: int) -> _Answer:
        return cls(np.empty(documents, np.float64), {}, [])

    def add(
        self, met: list[tuple[int, _Document]], found: NDArray[np.float32], own: list[_Document], longest: int
    ) -> None:
        self.values[[place for place, _ in met]] = found
        self.spans.update((place, document.span) for place, document in met if document.span is not None)
        self.usages.append(
            Usage(
                pairs=len(met),
                tokens=sum(document.tokens for document in own),
                padded_tokens=longest * len(own),
                batches=int(longest > 0 and len(own) > 0),
                cache_hits=len(met) if longest == 0 else 0,
            )
        )

    def scores(self, seconds: float) -> Scores:
        usage = sum(self.usages, Usage(seconds={"model": seconds}))
        return Scores(tuple(self.values.tolist()), usage, self.spans)


def _load(source: ModelSource, device: str | None) -> MultiVectorEncoder:
    name = source.name
    source.read_config()  # for its checks
    try:
        model = MultiVectorEncoder(name, device=device, **source.load_options())
    except Exception as error:  # the hub, torch and every model class raise what they like; callers catch one type
        raise ModelFileError(f"{name} can't be loaded as a late-interaction model: {error}") from error
    if not isinstance(model[0], Transformer) or not hasattr(model.tokenizer, "backend_tokenizer"):
        raise ModelFileError(f"{name} does not begin with one transformer that has a fast tokenizer")
    model.eval()
    if model.device.type == "cpu":
        model.float()  # half precision on CPU is slower and ties scores
    return model


def _set_lengths(model: MultiVectorEncoder, wanted: int | None, name: str) -> tuple[int, int]:
    """Tokens read of a query (all that the network can) and of a document (what it was tuned for, or `wanted`)."""
    reader: Any = model[0]  # _load has seen that it is a Transformer
    config: Any = model.config
    limit = position_limit(config.to_dict())
    own = min(reader.document_length or model.max_seq_length or limit, limit)
    reader.document_length = own if wanted is None else choose_max_length(limit, wanted, name)
    # "min" fills a query up to the same length as "fixed", but does not cut it there.
    reader.query_length = limit
    if reader.query_expansion is not None:
        reader.query_expansion = {**reader.query_expansion, "strategy": "min"}
    return limit, reader.document_length


def _beginning(text: str, tokens: Tokens, room: int, prompt: int) -> str:
    """A text as the network gets it: of one that is cut anyway no more than was tokenised."""
    return text if len(tokens.ids) <= room else text[: int(tokens.offsets[-1, 1]) - prompt]
