"""A table of token vectors from a sentence encoder: the static bi-encoder, made as by model2vec.

python -m resift.export.static BACKBONE FOLDER
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from transformers import AutoModel

from resift._util.jsonl import read_rows
from resift.errors import InputError
from resift.models.manifest import Manifest
from resift.text.tokenizer import TextTokenizer

SIF = 1e-3  # smooth inverse frequency, Arora et al. 2017 (https://openreview.net/forum?id=SyK00v5xx)
LINES_COUNTED = 4000  # of each file of texts: enough to know how rare a token is


def token_vectors(backbone: Path, batch: int = 1024) -> NDArray[np.float32]:
    """Return the encoder's state of each token of its vocabulary in [CLS] token [SEP], (tokens, width)."""
    model = AutoModel.from_pretrained(str(backbone), local_files_only=True).eval()
    vocabulary = json.loads((backbone / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    start, end = vocabulary["[CLS]"], vocabulary["[SEP]"]
    states = []
    with torch.inference_mode():
        for first in range(0, len(vocabulary), batch):
            ids = torch.arange(first, min(first + batch, len(vocabulary)))
            rows = torch.stack([torch.full_like(ids, start), ids, torch.full_like(ids, end)], dim=1)
            states.append(model(input_ids=rows).last_hidden_state[:, 1])
    vectors: NDArray[np.float32] = torch.cat(states).numpy()
    return vectors


def reduce(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Project onto the directions in which tokens differ most (PCA by singular values), (tokens, dimensions)."""
    centred = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    reduced: NDArray[np.float32] = centred @ directions[:dimensions].T
    return reduced


def shares(tokens: int, tokenizer: Path, texts: Sequence[Path]) -> NDArray[np.float64]:
    """Return each token's share of all text: counted, or by Zipf's law without texts.

    Zipf's law needs the frequent tokens first, as in WordPiece vocabularies.
    """
    if not texts:
        zipf = 1 / np.arange(2.0, tokens + 2)
        by_rank: NDArray[np.float64] = zipf / zipf.sum()
        return by_rank
    counts = np.full(tokens, 0.5)  # as if half seen: a token that is in no text is rare, not impossible
    reader = TextTokenizer.load(tokenizer)
    for file in texts:
        for text in reader.encode(list(islice(_read_passages(file), LINES_COUNTED))):
            np.add.at(counts, text.ids, 1)
    counted: NDArray[np.float64] = counts / counts.sum()
    return counted


def _read_passages(file: Path) -> Iterator[str]:
    """Yield the passages of a jsonl file (`positive` or `text`), plain or gzipped."""
    for where, row in read_rows(file):
        passage = row.get("positive") or row.get("text")
        if not isinstance(passage, str):
            raise InputError(f"{where}: a row needs a text in the field positive or text")
        yield passage


def write_table(vectors: NDArray[np.float32], tokenizer: Path, folder: Path, manifest: Manifest) -> Manifest:
    """Write a table of token vectors, (tokens, dimensions), as a folder that `StaticEmbedder` reads.

    It has 8-bit integers and a scale for each token: the token's weight is in the scale, so that rare and frequent
    tokens lose equally little. `manifest` gives name, source and licence; the manifest written is returned.
    """
    largest = np.abs(vectors).max(axis=1)
    steps = np.where(largest == 0, 1, largest) / 127
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "table.npy", np.round(vectors / steps[:, None]).astype(np.int8))
    np.save(folder / "scales.npy", steps.astype(np.float32))
    if tokenizer.resolve() != (folder / "tokenizer.json").resolve():
        shutil.copyfile(tokenizer, folder / "tokenizer.json")
    full = replace(manifest, kind="static", document_length=10**6, precision="int8")
    return full.write(folder, ["table.npy", "scales.npy", "tokenizer.json"])


def main(
    backbone: Annotated[Path, typer.Argument(help="Hugging Face folder of the sentence encoder")],
    folder: Annotated[Path, typer.Argument(help="where the model goes")],
    dimensions: Annotated[int, typer.Option(help="length of a vector")] = 256,
    name: Annotated[str, typer.Option(help="the model's name")] = "resift:static",
    source: Annotated[str, typer.Option(help="where the weights come from")] = "",
    texts: Annotated[list[Path] | None, typer.Option(help="jsonl files whose tokens are counted")] = None,
) -> None:
    """Make a static bi-encoder."""
    vectors = reduce(token_vectors(backbone), dimensions)
    weights = SIF / (SIF + shares(len(vectors), backbone / "tokenizer.json", texts or []))
    weighted = (vectors * weights[:, None]).astype(np.float32)
    about = Manifest(name, "static", document_length=10**6, source=source, licence="Apache-2.0")
    write_table(weighted, backbone / "tokenizer.json", folder, about)
    typer.echo(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
