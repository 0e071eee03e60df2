"""A folder's own tokenizer.json against the tokenizer that transformers makes of the folder.

transformers 5 builds some tokenizers anew, from their class and the settings in tokenizer_config.json, and takes
settings at their word that its fourth version never read: XLM-R's with a leftover `"add_prefix_space": false` reads
words as letters (huggingface/sentence-transformers#3911; transformers 5.5.4 to 5.24).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from resift._util.call_site import warn_at_call_site
from resift._util.model_files import report_unreadable
from resift.engines.pytorch.head import locate
from resift.engines.pytorch.source import ModelSource
from resift.errors import ModelFileError

# In small letters: whether large ones are kept may be a setting beside the tokenizer.
PROBES = (
    "what eats bamboo",
    "pandas eat bamboo, and unbelievably much of it: 3.14 kg an hour (since 1984).",
    "zürich naïve 東京 день ไทย don't re-rank a/b x_y @home 100% #1",
)


def read_own_tokenizer(source: ModelSource) -> Tokenizer | None:
    """Return the tokenizer in the model's tokenizer.json, None without such a file.

    Raise ModelFileError, with the file's name, where it can't be read.
    """
    path = locate(source, "tokenizer.json")
    if path is None:
        return None
    with report_unreadable(path, "tokenizer"):
        return Tokenizer.from_file(str(path))


def keep_own_tokenizer(tokenizer: Any, source: ModelSource) -> Any:
    """Return the tokenizer, or the folder's own where transformers has made another one of it, with a warning.

    A tokenizer of another kind than Unigram is kept as it is: transformers has always applied the settings in
    tokenizer_config.json to those.

    Args:
        tokenizer: What transformers made.
        source: The model that it belongs to.

    Raises:
        ModelFileError: tokenizer.json can't be read, or transformers can't use it as it is; or nothing of a tokenizer
            is there, and transformers 5 has made one without words.
    """
    own = read_own_tokenizer(source)
    made = getattr(tokenizer, "backend_tokenizer", None)
    if own is None and isinstance(made, Tokenizer) and not knows_words(made, tokenizer.all_special_tokens):
        raise ModelFileError(
            f"{source.name} has no tokenizer: no tokenizer.json, and no vocabulary (vocab.txt, vocab.json, *.model), "
            "so that all texts would be the same to it; copy the model again, with all of its files"
        )
    if own is None or not isinstance(made, Tokenizer):
        return tokenizer
    probe = first_difference(own, made)
    if probe is None:
        return tokenizer
    told = (
        f"transformers {transformers.__version__} reads texts otherwise than {source.name}'s own tokenizer.json: "
        f"{probe!r} is {count(own, probe)} tokens there and {count(made, probe)} here"
    )
    if not isinstance(own.model, Unigram):
        warn_at_call_site(
            f"{told}. A setting of tokenizer_config.json differs, and is followed, as in sentence-transformers",
            UserWarning,
        )
        return tokenizer
    path = locate(source, "tokenizer.json") or Path()
    kept = PreTrainedTokenizerFast.from_pretrained(
        str(path.parent), local_files_only=True, model_max_length=tokenizer.model_max_length
    )
    kept.padding_side = tokenizer.padding_side
    if first_difference(own, kept.backend_tokenizer) is not None:
        raise ModelFileError(
            f"{told}; with transformers before version 5 it is read right, or without the settings in "
            "tokenizer_config.json that tokenizer.json doesn't have (such as add_prefix_space)"
        )
    warn_at_call_site(f"{told}. tokenizer.json is used", UserWarning)
    return kept


def set_own_tokenizer(module: Any, source: ModelSource) -> None:
    """Give a module of sentence-transformers the tokenizer of its folder. Raises what `keep_own_tokenizer` raises."""
    made = getattr(module, "tokenizer", None)
    kept = keep_own_tokenizer(made, source)
    if kept is made:
        return
    if module.processor is made:
        module.processor = kept
    else:
        module.processor.tokenizer = kept


def knows_words(tokenizer: Tokenizer, special: list[str]) -> bool:
    """Return whether a tokenizer has more in its vocabulary than special tokens and the mark of a word's beginning."""
    return any(token.strip("\u2581\u0120 ") for token in tokenizer.get_vocab().keys() - set(special))


def first_difference(one: Tokenizer, other: Tokenizer) -> str | None:
    """Return the first probe that the two read otherwise, alone or in a pair; None where there is none."""
    for probe in PROBES:
        if encode(one, probe) != encode(other, probe) or encode(one, PROBES[0], probe) != encode(
            other, PROBES[0], probe
        ):
            return probe
    return None


def encode(tokenizer: Tokenizer, text: str, second: str | None = None) -> list[int]:
    """Return the ids of a text or a pair, without padding."""
    encoding = tokenizer.encode(text, second)
    return [token for token, used in zip(encoding.ids, encoding.attention_mask, strict=True) if used]


def count(tokenizer: Tokenizer, text: str) -> int:
    """Return how many tokens a text has."""
    return len(encode(tokenizer, text))
