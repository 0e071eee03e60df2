"""A split network with random weights and a small vocabulary, exported on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import random_models
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertModel

from resift.export.split import export_split
from resift.models.manifest import Manifest
from resift.networks.split import SplitModule

LENGTH = 64  # tokens of a document, and of a query
WIDTH = 48


def trunk(seed: int = 3) -> BertModel:
    """The bi-encoder whose layers the network has."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=300, hidden_size=WIDTH, num_attention_heads=4, intermediate_size=96, num_hidden_layers=3
    )
    model = BertModel(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


def export(folder: Path, seed: int = 3) -> Path:
    """The network of that trunk as an exported folder; another seed gives another encoder and the same reader."""
    network = SplitModule(trunk(seed), separate=2, slope=7.0, bias=-1.5)
    torch.manual_seed(4)
    for parameter in (*network.reader.parameters(), network.gate):
        torch.nn.init.normal_(parameter, std=0.15)
    random_models._wordpiece().save_pretrained(folder)
    manifest = Manifest("split", "split", document_length=LENGTH, query_length=LENGTH)
    export_split(network.eval(), folder / "tokenizer.json", folder / "model", manifest)
    return folder / "model"


def vector(ids: list[int]) -> NDArray[np.float32]:
    """The trunk's mean-pooled unit vector for such ids, special tokens included, with transformers alone."""
    with torch.inference_mode():
        states = trunk()(torch.tensor([ids])).last_hidden_state[0].mean(0)
    unit: NDArray[np.float32] = (states / states.norm()).numpy()
    return unit
