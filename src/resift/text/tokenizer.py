"""Text to token ids without special tokens, and templates that add these to make a network's input."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from tokenizers.models import Unigram

from resift._util.fork import RenewedLock
from resift._util.lru import LRUCache
from resift._util.model_files import has_file, locate_file, report_unreadable
from resift.errors import InputError, ModelFileError
from resift.text.normal import NormalText

Ids = NDArray[np.int32]
"""Token ids of one text, (tokens,)."""
IdPair = tuple[Ids, Ids]
"""Token ids of a query and of a document."""

HIEROGLYPH = "\U00013000"  # in hardly any vocabulary: it gives the token for the unknown
UNTYPED = "\0"  # before a piece that no text is to match: it is taken out of every text
SPACE = "\u2581"  # what a word begins with in a Unigram vocabulary
UNIGRAM = b'"Unigram"'  # in every tokenizer.json of that kind
_UNKNOWN = re.compile(r'"unk_id":(\d+)')
CONTROL_TOKEN_MODES = ("text", "model")
TOKEN_CACHE_BYTES = 32_000_000  # some 16,000 passages
TOKEN_ENTRY_BYTES = 400  # memory of a cached entry besides its text and its numbers
TEXTS_PER_CALL = 64  # texts tokenised at once: an Encoding takes far more memory than the ids that are kept from it
CHARACTERS_PER_TOKEN = 40  # generous: so many characters for each token needed surely contain them all


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised text, without special tokens."""

    ids: Ids
    offsets: NDArray[np.int32]
    """(tokens, 2): the characters of the text, start and end, that each token stands for."""


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """The special tokens around and between query and document, read from what the tokenizer makes of a pair."""

    before: Ids
    between: Ids
    after: Ids
    token_types: tuple[int, int, int, int, int]
    """Token type ids of: `before`, the query, `between`, the document, `after`."""
    pad_id: int
    pad_type: int
    pad_left: bool = False
    """Padding stands before the tokens, so that every row ends with its last token."""

    @property
    def special_token_count(self) -> int:
        """How many special tokens a pair has."""
        return len(self.before) + len(self.between) + len(self.after)

    def assemble(self, pairs: Sequence[IdPair]) -> dict[str, NDArray[np.int64]]:
        """Return `input_ids`, `attention_mask` and `token_type_ids`, each (pairs, longest) with padding."""
        rows = [(self.before, query, self.between, document, self.after) for query, document in pairs]
        lengths = [sum(map(len, row)) for row in rows]
        shape = (len(pairs), max(lengths))
        ids = np.full(shape, self.pad_id, np.int64)
        mask = np.zeros(shape, np.int64)
        types = np.full(shape, self.pad_type, np.int64)
        for index, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            columns = slice(shape[1] - length, None) if self.pad_left else slice(length)
            ids[index, columns] = np.concatenate(row)
            mask[index, columns] = 1
            types[index, columns] = np.repeat(self.token_types, [len(part) for part in row])
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """The special tokens around a single text."""

    before: Ids
    after: Ids

    @property
    def special_token_count(self) -> int:
        """How many special tokens a text has."""
        return len(self.before) + len(self.after)

    def assemble(self, texts: Sequence[Ids]) -> NDArray[np.int64]:
        """Return ids, (texts, longest), padded with 0: BERT's [PAD], which the networks leave out of every sum."""
        ids = np.zeros((len(texts), max(map(len, texts)) + self.special_token_count), np.int64)
        for row, text in enumerate(texts):
            whole = np.concatenate([self.before, text, self.after])
            ids[row, : len(whole)] = whole
        return ids


class TextTokenizer:
    """A Hugging Face `tokenizers` tokenizer that neither truncates nor pads.

    Its settings don't change after loading, so any number of threads may use it at once. One that is made of another
    shares its vocabulary.
    """

    def __init__(self, tokenizer: Tokenizer | TextTokenizer) -> None:
        self._tokenizer: Tokenizer
        self._padding: dict[str, Any]
        self._shared: TextTokenizer | None = None
        if isinstance(tokenizer, TextTokenizer):
            self._shared = tokenizer  # `_UNIGRAMS` has it as long as it is held here
            self._tokenizer, self._padding = tokenizer._tokenizer, tokenizer._padding
            return
        tokenizer.no_truncation()
        padding = tokenizer.padding or {}
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._padding = padding

    @classmethod
    def load(cls, path: Path, *, control_tokens: str = "model") -> Self:
        """Load a `tokenizer.json`. Raise ModelFileError if there is none, or if it can't be read.

        `control_tokens` is as for `read_control_tokens_as`.
        """
        if not has_file(path.parent, path.name):
            raise ModelFileError(f"{path.parent} has no {path.name}: save the model's fast tokenizer there")
        with report_unreadable(locate_file(path.parent, path.name), "tokenizer"):
            data = path.read_bytes()
            if control_tokens == "text" and UNIGRAM in data:
                return cls(_load_unigram(data))
            tokenizer = Tokenizer.from_buffer(data)
            tokenizer.encode("some damage shows only here")
        loaded = cls(tokenizer)
        loaded.read_control_tokens_as(control_tokens)
        return loaded

    def read_control_tokens_as(self, control_tokens: str) -> None:
        """Choose what a special token is that a text spells: its letters ("text"), or the token itself ("model").

        Raise InputError for anything else, and for a tokenizer that can't read them as text. A text that spells none
        has the same tokens either way.
        """
        if control_tokens not in CONTROL_TOKEN_MODES:
            modes = " or ".join(map(repr, CONTROL_TOKEN_MODES))
            raise InputError(f"control_tokens is {modes}, not {control_tokens!r}")
        if control_tokens == "model":
            self._tokenizer.encode_special_tokens = False
            return
        added = self._tokenizer.get_added_tokens_decoder()
        specials = {token_id: token.content for token_id, token in added.items() if token.special}
        if specials and isinstance(self._tokenizer.model, Unigram):
            self._tokenizer = Tokenizer.from_buffer(_rename_pieces(self._tokenizer.to_str().encode()))
        self._tokenizer.encode_special_tokens = True
        unknown = self._tokenizer.encode(HIEROGLYPH, add_special_tokens=False).ids
        for content in specials.values():
            ids = self._tokenizer.encode(content, add_special_tokens=False).ids
            if set(ids) & (specials.keys() - set(unknown)):
                raise InputError(f"control_tokens='text' is impossible here: the tokenizer has {content} as a word")

    @property
    def highest_id(self) -> int:
        """The highest id of the vocabulary, added tokens aside: some models never compute those."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False) - 1

    @property
    def pad_id(self) -> int | None:
        """The id of the padding that tokenizer.json says; None where it says none."""
        return None if "pad_id" not in self._padding else int(self._padding["pad_id"])

    def id_of(self, token: str) -> int | None:
        """Return the id of a token; None where the vocabulary has no such token."""
        token_id: int | None = self._tokenizer.token_to_id(token)
        return token_id

    @cached_property
    def unknown_id(self) -> int | None:
        """The id of the token for what the vocabulary doesn't have; None where it has all, byte by byte, say."""
        if isinstance(self._tokenizer.model, Unigram):  # which tells it in no other way
            found = _UNKNOWN.search(self._tokenizer.to_str())
            return None if found is None else int(found[1])
        name = getattr(self._tokenizer.model, "unk_token", None)
        return None if name is None else self._tokenizer.token_to_id(name)

    @cached_property
    def space_id(self) -> int | None:
        """The id of the space that a Unigram vocabulary puts before what it has no piece for with one; None: none."""
        return self.id_of(SPACE) if isinstance(self._tokenizer.model, Unigram) else None

    @cached_property
    def wordless_ids(self) -> Ids:
        """The ids of tokens that say nothing: the unknown one, and such a space."""
        known = [token_id for token_id in (self.unknown_id, self.space_id) if token_id is not None]
        return np.array(known, np.int32)

    def encode(self, texts: Sequence[str], needed_tokens: int | None = None) -> list[Tokens]:
        """Return the tokens of each text, read as `resift.text.normal` says; their offsets are in the text as given.

        With `needed_tokens`, only the beginning of a long text may be tokenised: its first `needed_tokens` + 1 tokens,
        or some more, are returned.
        """
        encoded: list[Tokens] = []
        for start in range(0, len(texts), TEXTS_PER_CALL):
            chunk = texts[start : start + TEXTS_PER_CALL]
            cut = chunk if needed_tokens is None else [_cut_text(text, needed_tokens) for text in chunk]
            read = [NormalText.of(text) for text in cut]
            encodings = self._tokenizer.encode_batch([normal.text for normal in read], add_special_tokens=False)
            for text, beginning, normal, encoding in zip(chunk, cut, read, encodings, strict=True):
                if needed_tokens is not None and len(beginning) < len(text) and len(encoding) <= needed_tokens:
                    normal = NormalText.of(text)
                    encoding = self._tokenizer.encode(normal.text, add_special_tokens=False)
                encoded.append(_to_tokens(encoding, normal))
        return encoded

    def pair_template(self, pad_id: int | None = None, pad_type: int | None = None) -> PairTemplate:
        """Return the special tokens that the tokenizer puts around a pair.

        `pad_id` and `pad_type` override the tokenizer's own settings. Raise ModelFileError for a tokenizer that does
        not put the query before the document.
        """
        query, document = (self._tokenizer.encode(text, add_special_tokens=False) for text in ("a", "a a"))
        pair = self._tokenizer.encode("a", "a a")
        first = [index for index, sequence in enumerate(pair.sequence_ids) if sequence == 0]
        second = [index for index, sequence in enumerate(pair.sequence_ids) if sequence == 1]
        if not first or not second or len(first) != len(query) or len(second) != len(document) or first[0] > second[0]:
            raise ModelFileError(
                "this tokenizer does not put the query before the document; it can't be used for pairs"
            )
        ids, types = np.asarray(pair.ids, np.int32), pair.type_ids
        before, after = ids[: first[0]], ids[second[-1] + 1 :]
        between = ids[first[-1] + 1 : second[0]]
        token_types = (
            types[0],
            types[first[0]],
            types[first[-1] + 1] if len(between) else 0,
            types[second[0]],
            types[-1],
        )
        return PairTemplate(
            before,
            between,
            after,
            token_types,
            int(self._padding.get("pad_id", 0)) if pad_id is None else pad_id,
            int(self._padding.get("pad_type_id", 0)) if pad_type is None else pad_type,
        )

    def text_template(self) -> TextTemplate:
        """Return the special tokens that the tokenizer puts around a single text, as bi-encoders read it.

        Raise ModelFileError for a tokenizer that reads nothing in a text.
        """
        encoding = self._tokenizer.encode("a")
        inside = np.flatnonzero(~np.asarray(encoding.special_tokens_mask, bool))
        if not len(inside):
            raise ModelFileError("this tokenizer finds no token in a text; copy or export the model again")
        ids = np.asarray(encoding.ids, np.int32)
        return TextTemplate(ids[: inside[0]], ids[inside[-1] + 1 :])


class CachingTokenizer(TextTokenizer):
    """A tokenizer that caches the tokens of texts, for documents that come again and again.

    Once the states of documents are kept, tokenising is an eighth of the work that is left. The cache holds at most
    `max_bytes`; what was not used for longest is dropped first.
    """

    def __init__(self, tokenizer: Tokenizer | TextTokenizer, max_bytes: int = TOKEN_CACHE_BYTES) -> None:
        super().__init__(tokenizer)
        self.cache: LRUCache[tuple[str, int | None], Tokens] = LRUCache(max_bytes, _entry_bytes)

    def encode(self, texts: Sequence[str], needed_tokens: int | None = None) -> list[Tokens]:
        """Return the tokens of each text; a text that comes again gets the same arrays, which are read-only."""
        encode_texts = super().encode
        return self.cache.get_or_compute(
            [(text, needed_tokens) for text in texts],
            lambda keys: [
                _make_read_only(tokens) for tokens in encode_texts([text for text, _ in keys], needed_tokens)
            ],
        )


def _load_unigram(file: bytes) -> TextTokenizer:
    """Return the tokenizer of a tokenizer.json, its control tokens read as text.

    To build one of 250,000 pieces takes 1.5 s, and 150 MB: so the embedder, the reranker and what cuts passages share
    it. Control tokens are taken out before it is built.
    """
    key = hashlib.sha256(file).digest()
    with _LOADING:
        loaded = _UNIGRAMS.get(key)
        if loaded is None:
            loaded = TextTokenizer(Tokenizer.from_buffer(_rename_pieces(file)))
            loaded.read_control_tokens_as("text")
            loaded.encode(["some damage shows only here"])
            _UNIGRAMS[key] = loaded
    return loaded


_UNIGRAMS: WeakValueDictionary[bytes, TextTokenizer] = WeakValueDictionary()
"""SHA-256 of a file → what was loaded from it."""
_LOADING = RenewedLock()
"""Threads that load the same file at once wait for the first."""


def _rename_pieces(file: bytes) -> bytes:
    """Return the tokenizer.json of a Unigram tokenizer whose control tokens match no text; ids and weights stay.

    Such a tokenizer has them among its pieces too, so that it finds them in a text by itself. Any other comes back.
    """
    data = json.loads(file)
    if data["model"].get("type") != "Unigram":
        return file
    added = data.get("added_tokens", [])
    contents = {token["content"] for token in added if token["special"]}
    data["added_tokens"] = [token for token in added if not token["special"]]
    for piece in data["model"]["vocab"]:
        if piece[0] in contents:
            piece[0] = f"{UNTYPED}{piece[0]}"
    untyped = {"type": "Replace", "pattern": {"String": UNTYPED}, "content": ""}
    usual = [data["normalizer"]] if data.get("normalizer") else []
    data["normalizer"] = {"type": "Sequence", "normalizers": [*usual, untyped]}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _make_read_only(tokens: Tokens) -> Tokens:
    tokens.ids.setflags(write=False)
    tokens.offsets.setflags(write=False)
    return tokens


def _entry_bytes(key: tuple[str, int | None], tokens: Tokens) -> int:
    return len(key[0]) + tokens.ids.nbytes + tokens.offsets.nbytes + TOKEN_ENTRY_BYTES


def _to_tokens(encoding: Encoding, read: NormalText) -> Tokens:
    offsets = np.asarray(encoding.offsets, np.int32).reshape(-1, 2)
    return Tokens(np.asarray(encoding.ids, np.int32), read.original(offsets))


def _cut_text(text: str, needed_tokens: int) -> str:
    """Return the start of a long text, cut between words: tokenising megabytes to keep 500 tokens costs memory."""
    limit = CHARACTERS_PER_TOKEN * (needed_tokens + 1)
    if len(text) <= limit:
        return text
    space = text.rfind(" ", limit // 2, limit)
    return text[: space if space > 0 else limit]
