"""Texts to token ids, once each, and the special tokens that join them into what a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from resift._util.lru import LRUCache
from resift.errors import ModelFileError

Ids = NDArray[np.int32]
Pair = tuple[Ids, Ids]

REMEMBERED = 32_000_000  # bytes: some 16,000 passages
ENTRY = 400  # bytes of what is remembered besides texts and numbers
CHUNK = 64  # texts tokenised at once: an Encoding holds far more than the ids kept from it
CHARACTERS_PER_TOKEN = 40  # generous: the start of a text that is cut here surely holds the tokens wanted


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's token ids without special tokens, and where each token lies in the text (characters)."""

    ids: Ids
    offsets: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """The special tokens around and between texts, learned from what the tokenizer itself does with a pair."""

    before: Ids
    between: Ids
    after: Ids
    types: tuple[int, int, int, int, int]
    """Token type of: before, query, between, document, after."""
    pad: int
    pad_type: int
    left: bool = False
    """Padding comes first, so that every row ends with its last token."""

    @property
    def special_token_count(self) -> int:
        """How many special tokens a pair costs."""
        return len(self.before) + len(self.between) + len(self.after)

    def assemble(self, pairs: Sequence[Pair]) -> dict[str, NDArray[np.int64]]:
        """One padded row per pair: `input_ids`, `attention_mask` and `token_type_ids`, (pairs, longest)."""
        parts = [(self.before, query, self.between, document, self.after) for query, document in pairs]
        lengths = [sum(map(len, row)) for row in parts]
        shape = (len(pairs), max(lengths))
        ids = np.full(shape, self.pad, np.int64)
        mask = np.zeros(shape, np.int64)
        types = np.full(shape, self.pad_type, np.int64)
        for number, (row, length) in enumerate(zip(parts, lengths, strict=True)):
            place = slice(shape[1] - length, None) if self.left else slice(length)
            ids[number, place] = np.concatenate(row)
            mask[number, place] = 1
            types[number, place] = np.repeat(self.types, [len(part) for part in row])
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """The special tokens around a single text."""

    before: Ids
    after: Ids

    @property
    def special_token_count(self) -> int:
        """How many special tokens a text costs."""
        return len(self.before) + len(self.after)

    def assemble(self, texts: Sequence[Ids]) -> NDArray[np.int64]:
        """Ids, (texts, longest), padded with 0: BERT's [PAD], which is kept out of every sum."""
        ids = np.zeros((len(texts), max(map(len, texts)) + self.special_token_count), np.int64)
        for row, text in enumerate(texts):
            framed = np.concatenate([self.before, text, self.after])
            ids[row, : len(framed)] = framed
        return ids


class TextTokenizer:
    """A Hugging Face `tokenizers` tokenizer that never truncates or pads: its settings don't change after
    loading, so that any number of threads may use it at once.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        padding = tokenizer.padding or {}
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._padding = padding

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a `tokenizer.json`. Raises ModelFileError."""
        if not path.exists():
            raise ModelFileError(f"{path.parent} has no {path.name}: save the model's fast tokenizer there")
        return cls(Tokenizer.from_file(str(path)))

    def encode(self, texts: Sequence[str], enough: int | None = None) -> list[Tokens]:
        """The tokens of each text; with `enough`, at least that many (plus one) of a longer text's beginning."""
        found: list[Tokens] = []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            cut = chunk if enough is None else [_beginning(text, enough) for text in chunk]
            encodings = self._tokenizer.encode_batch(list(cut), add_special_tokens=False)
            for text, part, encoding in zip(chunk, cut, encodings, strict=True):
                if enough is not None and len(part) < len(text) and len(encoding) <= enough:
                    encoding = self._tokenizer.encode(text, add_special_tokens=False)
                found.append(_tokens(encoding))
        return found

    def pair_template(self, pad: int | None = None, pad_type: int | None = None) -> PairTemplate:
        """How the tokenizer joins a pair. `pad` and `pad_type` override what it says about padding."""
        query, document = self._probe()
        joined = self._tokenizer.encode("a", "a a")
        sequence = joined.sequence_ids
        first = [place for place, owner in enumerate(sequence) if owner == 0]
        second = [place for place, owner in enumerate(sequence) if owner == 1]
        if len(first) != len(query) or len(second) != len(document) or first[0] > second[0]:
            raise ModelFileError(
                "this tokenizer does not put the query before the document; it can't be used for pairs"
            )
        ids, types = np.asarray(joined.ids, np.int32), joined.type_ids
        before, after = ids[: first[0]], ids[second[-1] + 1 :]
        between = ids[first[-1] + 1 : second[0]]
        part_types = (
            types[0],
            types[first[0]],
            types[first[-1] + 1] if len(between) else 0,
            types[second[0]],
            types[-1],
        )
        padding = self._padding
        return PairTemplate(
            before,
            between,
            after,
            part_types,
            int(padding.get("pad_id", 0)) if pad is None else pad,
            int(padding.get("pad_type_id", 0)) if pad_type is None else pad_type,
        )

    def text_template(self) -> TextTemplate:
        """How the tokenizer presents one text, as a bi-encoder reads it."""
        alone = self._tokenizer.encode("a")
        inside = np.flatnonzero(~np.asarray(alone.special_tokens_mask, bool))
        ids = np.asarray(alone.ids, np.int32)
        return TextTemplate(ids[: inside[0]], ids[inside[-1] + 1 :])

    def _probe(self) -> tuple[Encoding, Encoding]:
        return (
            self._tokenizer.encode("a", add_special_tokens=False),
            self._tokenizer.encode("a a", add_special_tokens=False),
        )


class CachingTokenizer(TextTokenizer):
    """One that remembers what texts became, for where the same documents come again and again: once their states are
    kept, tokenising is an eighth of what is left to do. Within a bound; what was not used for longest goes first.
    """

    def __init__(self, tokenizer: Tokenizer, limit: int = REMEMBERED) -> None:
        super().__init__(tokenizer)
        self.recent: LRUCache[tuple[str, int | None], Tokens] = LRUCache(limit, _size)

    def encode(self, texts: Sequence[str], enough: int | None = None) -> list[Tokens]:
        """As ever, and the same arrays for a text that comes again: they can't be written to."""
        plain = super().encode
        return self.recent.find(
            [(text, enough) for text in texts],
            lambda keys: [_sealed(tokens) for tokens in plain([text for text, _ in keys], enough)],
        )


def _sealed(tokens: Tokens) -> Tokens:
    tokens.ids.setflags(write=False)
    tokens.offsets.setflags(write=False)
    return tokens


def _size(key: tuple[str, int | None], tokens: Tokens) -> int:
    return len(key[0]) + tokens.ids.nbytes + tokens.offsets.nbytes + ENTRY


def _tokens(encoding: Encoding) -> Tokens:
    return Tokens(np.asarray(encoding.ids, np.int32), np.asarray(encoding.offsets, np.int32).reshape(-1, 2))


def _beginning(text: str, enough: int) -> str:
    """The start of a long text, cut between words: tokenising megabytes to keep 500 tokens costs memory."""
    limit = CHARACTERS_PER_TOKEN * (enough + 1)
    if len(text) <= limit:
        return text
    space = text.rfind(" ", limit // 2, limit)
    return text[: space if space > 0 else limit]
