"""The benchmarks' inputs: a cross-encoder of MiniLM-L6's shape, and real English passages of known lengths."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from resift.demo import fables
from resift.models.bundled import bundled_folder

QUERY = "why should you not cry for help when nothing is wrong?"
LENGTHS = ("short", "mixed", "long")
SHORT_TOKENS, LONG_TOKENS = 30, 400
SPECIAL_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def passages(count: int, length: str) -> list[str]:
    """Cut `count` passages from Aesop's fables: short (30 tokens), long (400) or mixed (20 to 400, mean 100)."""
    text = "\n".join(passage.text for passage in fables())
    offsets = word_pieces().encode(text, add_special_tokens=False).offsets
    rng = random.Random(11)
    texts = []
    for _ in range(count):
        tokens = {"short": SHORT_TOKENS, "long": LONG_TOKENS}.get(length) or _draw_length(rng)
        start = rng.randrange(len(offsets) - tokens)
        texts.append(text[offsets[start][0] : offsets[start + tokens - 1][1]])
    return texts


def word_pieces() -> Tokenizer:
    """Return the bundled WordPiece tokenizer, without the padding and the truncation to 128 tokens in its file."""
    tokenizer = Tokenizer.from_file(str(bundled_folder("small") / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _draw_length(rng: random.Random) -> int:
    return min(LONG_TOKENS, max(20, int(rng.lognormvariate(4.4, 0.65))))


def build_model(folder: Path, layers: int = 6) -> Path:
    """Save a cross-encoder of MiniLM-L6's architecture, with random weights and a real tokenizer; return its folder."""
    import torch  # imported here, since the start of systems that need no torch is timed
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(7)
    config = BertConfig(
        hidden_size=384, num_attention_heads=12, intermediate_size=1536, num_hidden_layers=layers, num_labels=1
    )
    model = BertForSequenceClassification(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)  # large weights spread the scores, so that a difference shows
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=word_pieces(),
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **SPECIAL_TOKENS,
    )
    tokenizer.save_pretrained(folder)
    (folder / "special_tokens_map.json").write_text(json.dumps(SPECIAL_TOKENS), encoding="utf-8")
    return folder


def products(lengths: Sequence[int], *, layers: int = 6, width: int = 384, inner: int = 1536) -> int:
    """Return the multiply-adds of a BERT over pairs of these lengths (tokens): all positions and layers, no padding."""
    per_token = layers * (4 * width * width + 2 * width * inner)
    return sum(tokens * per_token + layers * 2 * tokens * tokens * width for tokens in lengths)
