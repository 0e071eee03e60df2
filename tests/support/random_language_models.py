"""Language-model rerankers of the true architectures with random weights, with small tokenizers of the same kinds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import random_models
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GemmaTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3ForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from resift.models.prompts import PROMPTS

DECODER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _corpus() -> Iterator[str]:
    """Yield the words of the texts, of the templates, and the answers."""
    yield from random_models.documents((50,) * 40)
    for prompt in PROMPTS.values():
        yield from ["".join((*prompt.before, prompt.query, *prompt.between, *prompt.after))] * 5
    yield from ["yes", "no", "Yes", "No", "true false"] * 30


def _qwen() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(QWEN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        _corpus(), trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    )
    vocabulary, merges = _vocabulary_and_merges(tokenizer)
    qwen = Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    qwen.add_special_tokens({"additional_special_tokens": CHAT[1:]})
    return qwen


def _gemma() -> PreTrainedTokenizerFast:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    # As SentencePiece trains: no piece crosses the beginning of a word.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    corpus = (text.replace(" ", "▁") for text in _corpus())
    tokenizer.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=800, special_tokens=special, show_progress=False)
    )
    vocabulary, merges = _vocabulary_and_merges(tokenizer)
    return GemmaTokenizer(vocab=vocabulary, merges=merges)


def _vocabulary_and_merges(tokenizer: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def _t5() -> PreTrainedTokenizerFast:
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(_corpus(), trainer)
    pieces = random_models.pieces(tokenizer, len(special))
    texts = {piece for piece, _ in pieces}
    pieces += [(answer, -8.0) for answer in ("▁true", "▁false") if answer not in texts]
    return T5Tokenizer(vocab=pieces, extra_ids=0)


def _qwen3(head: type[PreTrainedModel], **more: int) -> Callable[[int], PreTrainedModel]:
    return lambda size: head(Qwen3Config(vocab_size=size, head_dim=16, pad_token_id=0, **DECODER, **more))


def _t5_model(size: int) -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=size,
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
            feed_forward_proj="relu",
        )
    )


MODELS: dict[str, tuple[Callable[[int], PreTrainedModel], Callable[[], PreTrainedTokenizerFast]]] = {
    "Qwen3-Reranker-0.6B": (_qwen3(Qwen3ForCausalLM), _qwen),
    "Qwen3-Reranker-0.6B-seq-cls": (_qwen3(Qwen3ForSequenceClassification, num_labels=1), _qwen),
    "mxbai-rerank-base-v2": (lambda size: Qwen2ForCausalLM(Qwen2Config(vocab_size=size, **DECODER)), _qwen),
    "bge-reranker-v2-gemma": (
        lambda size: GemmaForCausalLM(GemmaConfig(vocab_size=size, head_dim=16, **DECODER)),
        _gemma,
    ),
    "monot5-base-msmarco-10k": (_t5_model, _t5),
}
"""By the names of their folders, which say how they are prompted."""


def build(name: str, folder: Path) -> Path:
    """Save a model of this name with its tokenizer, as `save_pretrained` does, and return the folder."""
    build_model, build_tokenizer = MODELS[name]
    tokenizer = build_tokenizer()
    return random_models.save(build_model(len(tokenizer)), tokenizer, folder, spread=0.2)
