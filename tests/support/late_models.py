"""Late-interaction models with random weights, as sentence-transformers saves them and as pylate does."""

from __future__ import annotations

import json
import string
from pathlib import Path

import random_models
import torch
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from transformers import AutoModel, AutoTokenizer

DIMENSIONS = 24
DOCUMENT_LENGTH = 48


def build_pylate(
    folder: Path, architecture: str = "bert", *, attend: bool = False, expand: bool = True, typed: bool = True
) -> Path:
    """Save a checkpoint with the files and keys of pylate's `save` and return the folder.

    `typed`: with the model type in its configuration, which newer versions add.
    """
    backbone, tokenizer = _backbone(architecture, folder / "backbone")
    tokenizer.add_tokens(["[Q] ", "[D] "])
    backbone.resize_token_embeddings(len(tokenizer))
    backbone.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    (folder / "1_Dense").mkdir()
    width = backbone.config.hidden_size
    save_file({"linear.weight": torch.randn(DIMENSIONS, width) * 0.1}, folder / "1_Dense" / "model.safetensors")
    identity = "torch.nn.modules.linear.Identity"
    dense = {"in_features": width, "out_features": DIMENSIONS, "bias": False, "activation_function": identity}
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    config = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 32,
        "document_length": DOCUMENT_LENGTH,
        "attend_to_expansion_tokens": attend,
        "skiplist_words": list(string.punctuation),
        "do_query_expansion": expand,
        **({"model_type": "ColBERT"} if typed else {}),
    }
    # pylate saves the length of what it encoded last, without the prefix.
    files = {
        "1_Dense/config.json": dense,
        "modules.json": modules,
        "config_sentence_transformers.json": config,
        "sentence_bert_config.json": {"max_seq_length": DOCUMENT_LENGTH - 1, "do_lower_case": False},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def build_native(folder: Path, architecture: str = "modernbert") -> Path:
    """Save a checkpoint by sentence-transformers' `MultiVectorEncoder` as `folder/model`, and return that folder.

    It has prompts, and neither query expansion nor a list of tokens to skip.
    """
    backbone, tokenizer = _backbone(architecture, folder / "backbone")
    backbone.save_pretrained(folder / "backbone")
    tokenizer.save_pretrained(folder / "backbone")
    torch.manual_seed(5)
    dense = Dense(backbone.config.hidden_size, DIMENSIONS, bias=False, activation_function=torch.nn.Identity())
    dense.module_input_name = dense.module_output_name = "token_embeddings"
    modules = [
        Transformer(str(folder / "backbone"), document_length=DOCUMENT_LENGTH),
        dense,
        MultiVectorMask(),
        Normalize(module_input_name="token_embeddings"),
    ]
    model = MultiVectorEncoder(modules=modules, prompts={"query": "question: ", "document": "text: "}, device="cpu")
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


def _backbone(architecture: str, folder: Path):
    if architecture == "bert":
        random_models.build_labels(1, folder)
    else:
        random_models.build(architecture, folder)
    return AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
