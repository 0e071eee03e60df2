"""A split network with random weights and a small vocabulary, exported on the spot."""

from __future__ import annotations

import string
import unicodedata
from pathlib import Path

import numpy as np
import random_models
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from resift.export.split import export_split
from resift.models.manifest import Manifest
from resift.networks.split import SplitModule

LENGTH = 64  # tokens of a document, and of a query
WIDTH = 48
LANGUAGES = {
    "English": "The panda eats bamboo in the forest. Stocks fell on Monday.",
    "German": "Der Panda frisst Bambus im Wald. Die Kurse fielen am Montag.",
    "Russian": "Панда ест бамбук в лесу. Акции упали в понедельник.",
    "Arabic": "الباندا يأكل الخيزران في الغابة. هبطت الأسهم يوم الاثنين.",
    "Chinese": "大熊猫在森林里吃竹子。股市星期一下跌。",
}
"""Two sentences, one about pandas and one about stocks."""


def trunk(seed: int = 3, vocabulary: int = 300) -> BertModel:
    """The bi-encoder whose layers the network has."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, num_attention_heads=4, intermediate_size=96, num_hidden_layers=3
    )
    model = BertModel(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


def export(folder: Path, seed: int = 3) -> Path:
    """The network of that trunk as an exported folder; another seed gives another encoder and the same reader."""
    random_models._wordpiece().save_pretrained(folder)
    return _export(folder, trunk(seed), "split")


def export_multilingual(folder: Path) -> Path:
    """A network like `resift:multilingual`, with a Unigram tokenizer and without a sparse encoder."""
    tokenizer = multilingual_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    vocabulary = tokenizer.get_vocab_size()
    rarity = torch.arange(vocabulary) % 200 + 20
    rarity[:4] = 0  # control tokens match nothing
    encoder = trunk(vocabulary=vocabulary)
    for parameter in encoder.parameters():
        if parameter.ndim == 1:  # equal ones would be stored once, and could not be told apart
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return _export(folder, encoder, "resift:multilingual", rarity)


def multilingual_tokenizer() -> Tokenizer:
    """Words and letters of texts in several languages; the padding has the id 0, as the networks need it."""
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    text = unicodedata.normalize("NFKC", f"{' '.join(LANGUAGES.values())} {string.ascii_letters}{string.punctuation}")
    words = sorted({f"\u2581{word}" for word in text.split()})
    letters = sorted({*text} - {" "})
    pieces = [(piece, 0.0) for piece in special]
    pieces += [("\u2581", -6.0), *((word, -5.0) for word in words if len(word) > 2), *((one, -9.0) for one in letters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> <s> $B </s>",
        special_tokens=[(piece, tokenizer.token_to_id(piece)) for piece in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens(special)
    return tokenizer


def _export(folder: Path, trunk: BertModel, name: str, rarity: torch.Tensor | None = None) -> Path:
    network = SplitModule(trunk, separate=2, slope=7.0, bias=-1.5, rarity=rarity)
    torch.manual_seed(4)
    for parameter in (*network.reader.parameters(), network.gate):
        torch.nn.init.normal_(parameter, std=0.15)
    precision = "float32" if rarity is None else "int8-dynamic"  # as the true ones
    manifest = Manifest(name, "split", document_length=LENGTH, query_length=LENGTH, precision=precision)
    export_split(network.eval(), folder / "tokenizer.json", folder / "model", manifest)
    return folder / "model"


def vector(ids: list[int]) -> NDArray[np.float32]:
    """The trunk's mean-pooled unit vector for such ids, special tokens included, with transformers alone."""
    with torch.inference_mode():
        states = trunk()(torch.tensor([ids])).last_hidden_state[0].mean(0)
    unit: NDArray[np.float32] = (states / states.norm()).numpy()
    return unit
