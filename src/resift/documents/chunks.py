"""How long passages are: in tokens, so that a passage fits what the bundled rerankers and bi-encoders read at once.

English text has about as many tokens for each of them. Of another language `resift:small` knows letters, where
`resift:multilingual` knows words: so the tokens are those of the model that embeds a collection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resift._util.arguments import whole_number
from resift.documents.split import Ruler
from resift.errors import InputError
from resift.models.bundled import BUNDLED, bundled_folder
from resift.models.manifest import Manifest
from resift.text.tokenizer import TextTokenizer, Tokens

CHUNK_TOKENS = 240
"""Tokens of a passage, its first line included. The bundled models read 254; a few are left for words cut in two."""
FEWEST_TOKENS = 32
OVERLAP_DIVISOR = 8
"""Parts of a paragraph share an eighth of their tokens unless another overlap is given."""
LARGEST_OVERLAP = 3
"""They can share a third at most, so that each brings something new."""
PIECE_CHARACTERS = 10_000
"""Characters that are tokenised at once: it bounds the memory that a file of one paragraph takes."""
TOKENS_KEY, OVERLAP_KEY = "resift_chunk_tokens", "resift_chunk_overlap"
"""Where a collection's metadata holds another size than the default."""
UNKNOWN_CHARACTERS = 4
"""Characters for which an unknown word counts as a token: another model reads what the bundled vocabulary lacks."""

_PIECE = re.compile(rf"(?s)\S.{{0,{PIECE_CHARACTERS}}}(?=\s|\Z)|\S.{{0,{PIECE_CHARACTERS}}}")


@dataclass(frozen=True, slots=True)
class Chunks:
    """The size of passages.

    Args:
        tokens: Tokens of a passage at most, with the line that names title and headings; at least 32.
        overlap: Tokens that two parts of one paragraph share at most, where it is longer than a passage. None: an
            eighth of `tokens`.
        model: The bundled model whose tokens are counted.

    Raises:
        InputError: A size that is too small, or an overlap of more than a third of it.
    """

    tokens: int = CHUNK_TOKENS
    overlap: int | None = None
    model: str = BUNDLED[0]

    def __post_init__(self) -> None:
        whole_number("chunk_tokens", self.tokens, FEWEST_TOKENS)
        if self.overlap is not None and whole_number("chunk_overlap", self.overlap, 0) > self.tokens // LARGEST_OVERLAP:
            raise InputError(
                f"chunk_overlap={self.overlap} is more than a third of chunk_tokens={self.tokens}: give "
                f"{self.tokens // LARGEST_OVERLAP} at most"
            )

    @property
    def shared(self) -> int:
        """Tokens that two parts of one paragraph share at most."""
        return self.tokens // OVERLAP_DIVISOR if self.overlap is None else self.overlap

    @classmethod
    def of_metadata(
        cls, metadata: Mapping[str, Any] | None, tokens: int | None = None, overlap: int | None = None
    ) -> Self:
        """Return the size that a collection's metadata holds, with what is given here in its place."""
        stored = metadata or {}
        if tokens is None:
            tokens, overlap = stored.get(TOKENS_KEY), stored.get(OVERLAP_KEY) if overlap is None else overlap
        return cls(CHUNK_TOKENS if tokens is None else tokens, overlap)

    def in_metadata(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a collection's metadata with this size in it; one that never had another has no entry."""
        stored = metadata or {}
        others = {key: value for key, value in stored.items() if key not in (TOKENS_KEY, OVERLAP_KEY)}
        usual = self.tokens == CHUNK_TOKENS and TOKENS_KEY not in stored
        tokens = {} if usual and self.overlap is None else {TOKENS_KEY: int(self.tokens)}
        overlap = {} if self.overlap is None else {OVERLAP_KEY: int(self.overlap)}
        return {**others, **tokens, **overlap}


def token_rulers(texts: Sequence[str], model: str = BUNDLED[0]) -> list[Ruler]:
    """Return a ruler for each text, whose units are the tokens of a bundled model."""
    pieces = [(index, match) for index, text in enumerate(texts) for match in _PIECE.finditer(text)]
    tokenizer = _tokenizer(model)
    tokens = tokenizer.encode([match[0] for _, match in pieces])
    units: list[list[NDArray[np.int64]]] = [[] for _ in texts]
    for (index, match), piece in zip(pieces, tokens, strict=True):
        units[index].append(_units(piece, tokenizer.unknown_id) + match.start())
    return [Ruler(*np.concatenate([np.zeros((2, 0), np.int64), *parts], axis=1)) for parts in units]


def _units(tokens: Tokens, unknown_id: int | None) -> NDArray[np.int64]:
    """Return where units begin and end, (2, units): the tokens, and several for a long unknown word."""
    starts, ends = tokens.offsets.T.astype(np.int64)
    unknown = tokens.ids == unknown_id
    if not unknown.any():
        return np.stack([starts, ends])
    counts = np.where(unknown, -(-(ends - starts) // UNKNOWN_CHARACTERS), 1).clip(1)
    first_units = np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.repeat(starts, counts) + UNKNOWN_CHARACTERS * (np.arange(counts.sum()) - first_units)
    last = np.repeat(ends, counts)
    followed = np.append(begins[1:], np.iinfo(np.int64).max)
    return np.stack([begins, np.minimum(last, followed)])


@cache
def _tokenizer(model: str) -> TextTokenizer:
    folder = bundled_folder(model)
    return TextTokenizer.load(
        Manifest.read(folder, ["tokenizer.json"]).locate(folder, "tokenizer.json"), control_tokens="text"
    )
