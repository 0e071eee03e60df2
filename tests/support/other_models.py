"""Small models that are no rerankers, as people give them: saved as their libraries save them, with random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import random_models
from random_models import SMALL
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    ModernBertConfig,
    ModernBertForTokenClassification,
    PreTrainedModel,
)

BERT = {"vocab_size": 300, "num_hidden_layers": 2, **SMALL}
NLI = {0: "contradiction", 1: "entailment", 2: "neutral"}


def _save(model: PreTrainedModel, folder: Path) -> None:
    random_models.save(model, random_models._wordpiece(), folder)


def _bi_encoder(folder: Path) -> None:
    _save(BertModel(BertConfig(**BERT)), folder / "encoder")
    SentenceTransformer(str(folder / "encoder"), device="cpu", local_files_only=True).save(str(folder))
    shutil.rmtree(folder / "encoder")


def _sparse(folder: Path) -> None:
    """Write a SPLADE model, as sentence-transformers' SparseEncoder saves it."""
    _save(BertForMaskedLM(BertConfig(**BERT)), folder)
    kinds = (
        "sentence_transformers.base.modules.transformer.Transformer",
        "sentence_transformers.sparse_encoder.SpladePooling",
    )
    modules = [
        {"idx": n, "name": str(n), "path": "" if n == 0 else "1_SpladePooling", "type": kind}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "SparseEncoder"}))


def _old_bi_encoder(folder: Path) -> None:
    """Write what sentence-transformers 2 wrote: no word of the kind of model."""
    _bi_encoder(folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"__version__": {}}))


def _cross_encoder(folder: Path) -> None:
    """Write what sentence-transformers 5.4 and newer write: modules.json, as for a bi-encoder."""
    _save(BertForSequenceClassification(BertConfig(**BERT, num_labels=1)), folder / "plain")
    CrossEncoder(str(folder / "plain"), device="cpu", local_files_only=True).save_pretrained(str(folder))
    shutil.rmtree(folder / "plain")


def _modernbert_token_classifier(folder: Path) -> None:
    # Its weights have the names, and with one label the shapes, of a cross-encoder's.
    config = ModernBertConfig(vocab_size=400, num_hidden_layers=2, pad_token_id=0, num_labels=1, **SMALL)
    random_models.save(ModernBertForTokenClassification(config), random_models._bytes(), folder)


MODELS: dict[str, Callable[[Path], None]] = {
    "encoder": lambda folder: _save(BertModel(BertConfig(**BERT)), folder),
    "bi-encoder": _bi_encoder,
    "old-bi-encoder": _old_bi_encoder,
    "sparse": _sparse,
    "masked": lambda folder: _save(BertForMaskedLM(BertConfig(**BERT)), folder),
    "answers": lambda folder: _save(BertForQuestionAnswering(BertConfig(**BERT)), folder),
    "words": lambda folder: _save(BertForTokenClassification(BertConfig(**BERT, num_labels=5)), folder),
    "words-modernbert": _modernbert_token_classifier,
    "nli": lambda folder: _save(
        BertForSequenceClassification(BertConfig(**BERT, id2label=NLI, label2id={v: k for k, v in NLI.items()})), folder
    ),
    "gpt2": lambda folder: _save(
        GPT2LMHeadModel(GPT2Config(vocab_size=300, n_layer=2, n_embd=64, n_head=2, bos_token_id=2, eos_token_id=3)),
        folder,
    ),
    "cross-encoder": _cross_encoder,
}


def build(name: str, folder: Path) -> Path:
    """Save the model of this name and return the folder."""
    MODELS[name](folder)
    return folder
