"""Cross-encoders of the true architectures with random weights and small vocabularies, built on the spot."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

WORDS = [
    "panda",
    "bamboo",
    "tree",
    "grass",
    "stock",
    "fell",
    "monday",
    "water",
    "river",
    "unbelievable",
    "tokenisation",
    "hyperbole",
    "the",
    "a",
    "of",
    "in",
    "and",
    "Zürich",
    "naïve",
    "東京",
    "день",
    "market",
    "eats",
    "sleeps",
    "runs",
    "quickly",
    "under",
    "over",
    "beneath",
    "1984",
    "3.14",
    "don't",
    "re-rank",
]
BERT = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
BASE = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 12}
SMALL = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}

BRACKETS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ANGLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def text(words: int, seed: int) -> str:
    """Return a text of so many words, always the same for a seed."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def documents(lengths: tuple[int, ...]) -> list[str]:
    """Return one text per length in words, each different."""
    return [text(length, seed) for seed, length in enumerate(lengths)]


def _corpus() -> Iterator[str]:
    yield from documents((50,) * 40)


def _fast(tokenizer: Tokenizer, inputs: list[str], **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=inputs, model_max_length=512, **special
    )


def pieces(tokenizer: Tokenizer, special: int) -> list[tuple[str, float]]:
    """Return the pieces of a trained Unigram model: `special` tokens first, the others by weight and letters.

    Training alone gives another order each time.
    """
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    rest = sorted((-round(score, 2), piece) for piece, score in vocabulary[special:])
    return [*((piece, score) for piece, score in vocabulary[:special]), *((piece, -loss) for loss, piece in rest)]


def _wordpiece() -> PreTrainedTokenizerFast:
    """Return a tokenizer like BERT's.

    Its vocabulary is built, not trained: a trainer breaks ties at random, and numbers the pieces accordingly.
    """
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = {
        word
        for text in _corpus()
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    }
    pieces = {piece for word in words for piece in (*word, *(f"##{letter}" for letter in word))}
    pieces |= {word[:10] for word in words} | {f"##{word[10:]}" for word in words if len(word) > 10}
    vocabulary = {piece: number for number, piece in enumerate([*special, *sorted(pieces)])}
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return _fast(tokenizer, ["input_ids", "token_type_ids", "attention_mask"], **BRACKETS)


def _sentencepiece(length: int = 512) -> PreTrainedTokenizerFast:
    """Return a tokenizer like XLM-R's: Unigram over Metaspace, `<s> A </s></s> B </s>`, padding token 1."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.model = models.Unigram(pieces(tokenizer, len(special)), special.index("<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = _fast(tokenizer, ["input_ids", "attention_mask"], **ANGLES)
    fast.model_max_length = length
    return fast


def _bytes() -> PreTrainedTokenizerFast:
    """Return a tokenizer like ModernBERT's: byte-level BPE, `[CLS] A [SEP] B [SEP]`, no token types."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return _fast(tokenizer, ["input_ids", "attention_mask"], **BRACKETS)


def _bert(layers: int, labels: int = 1, size: dict[str, int] = BERT) -> PreTrainedModel:
    return BertForSequenceClassification(
        BertConfig(vocab_size=300, num_hidden_layers=layers, num_labels=labels, **size)
    )


def _electra(size: dict[str, int]) -> PreTrainedModel:
    # As in electra-base, embeddings are as wide as the layers, so no projection stands between them.
    config = ElectraConfig(vocab_size=300, embedding_size=size["hidden_size"], num_labels=1, **size)
    return ElectraForSequenceClassification(config)


def _xlm_roberta(positions: int = 514) -> PreTrainedModel:
    config = XLMRobertaConfig(
        vocab_size=300, num_hidden_layers=4, max_position_embeddings=positions, pad_token_id=1, num_labels=1, **SMALL
    )
    return XLMRobertaForSequenceClassification(config)


def _deberta() -> PreTrainedModel:
    config = DebertaV2Config(
        vocab_size=300,
        num_hidden_layers=3,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        max_position_embeddings=512,
        num_labels=1,
        **SMALL,
    )
    return DebertaV2ForSequenceClassification(config)


def _modernbert() -> PreTrainedModel:
    # Four layers: ModernBERT attends globally in every third one only, and locally in between.
    config = ModernBertConfig(
        vocab_size=400,
        num_hidden_layers=4,
        pad_token_id=0,
        cls_token_id=1,
        sep_token_id=2,
        bos_token_id=1,
        eos_token_id=2,
        max_position_embeddings=512,
        num_labels=1,
        **SMALL,
    )
    return ModernBertForSequenceClassification(config)


ARCHITECTURES: dict[str, tuple[Callable[[], PreTrainedModel], Callable[[], PreTrainedTokenizerFast]]] = {
    "bert-6": (lambda: _bert(6, size=SMALL), _wordpiece),
    "electra": (lambda: _electra({**SMALL, "num_hidden_layers": 12}), _wordpiece),
    "xlm-roberta": (_xlm_roberta, _sentencepiece),
    "deberta-v2": (_deberta, _wordpiece),
    "modernbert": (_modernbert, _bytes),
}

FULL_SIZE: dict[str, tuple[Callable[[], PreTrainedModel], Callable[[], PreTrainedTokenizerFast]]] = {
    "minilm-6": (lambda: _bert(6), _wordpiece),
    "minilm-12": (lambda: _bert(12), _wordpiece),
    "electra-base": (lambda: _electra(BASE), _wordpiece),
}
"""The same architectures in the size that is published, for slow tests."""

EVERY_ARCHITECTURE = [*ARCHITECTURES, *(pytest.param(name, marks=pytest.mark.slow) for name in FULL_SIZE)]
"""For `pytest.mark.parametrize`."""

OTHERS: dict[str, tuple[Callable[[], PreTrainedModel], Callable[[], PreTrainedTokenizerFast]]] = {
    "bert-2": (lambda: _bert(2), _wordpiece),
    "bert-small": (lambda: _bert(2, size=SMALL), _wordpiece),
    "xlm-roberta-8k": (lambda: _xlm_roberta(8194), lambda: _sentencepiece(8192)),
}
"""For tests that need some model, whatever its architecture."""


def build(architecture: str, folder: Path) -> Path:
    """Save a model of this architecture with its tokenizer, as `save_pretrained` does, and return the folder."""
    model, tokenizer = (ARCHITECTURES | FULL_SIZE | OTHERS)[architecture]
    return save(model(), tokenizer(), folder)


def build_labels(labels: int, folder: Path) -> Path:
    """Save a two-layer BERT with so many labels, and return the folder."""
    return save(_bert(2, labels), _wordpiece(), folder)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, spread: float = 0.06) -> Path:
    """Save the model with new random weights and return the folder.

    Their deviation is above the usual .02, so that scores spread and a wrong token shows.
    """
    torch.manual_seed(7)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=spread)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
