"""Networks as sentence-transformers trains them: the plain [CLS] cross-encoder, and the split network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer
from transformers.trainer_utils import set_seed

from resift.errors import InputError
from resift.export.restore import read_network, read_tokenizer
from resift.models.bundled import bundled_folder
from resift.models.manifest import FILE
from resift.networks.split import Side, SplitModule
from resift.networks.terms import SparseEncoderModule
from resift.training.mining import Embed
from resift.training.recipe import Recipe
from resift.training.teachers import half_is_faster

SLOPE = 10.0  # logit per cosine at the start: about as much as the votes beside it then say
TRAINED, SPARSE = "reader.safetensors", "terms"
CHUNK = 1 << 16  # texts whose states are held at once while only their vectors are wanted
ROWS = 32  # texts or pairs at once: sorted by length, so small batches pad little
READ = 256  # tokens of a text in use: what the bi-encoder below was trained to read
KEEP = 8 << 30  # bytes of frozen states remembered: texts come again in other lists and epochs


class EncodedTexts(NamedTuple):
    """One text as the frozen layers give it, without padding, in half precision."""

    ids: Tensor
    states: Tensor
    vector: Tensor
    terms: Tensor | None = None


class SplitPairs(InputModule):
    """The split network as the one module of a `CrossEncoder`. `_` and `__` take what other modules are told.

    A text that comes in several pairs of a batch is read once. With a `frozen` trunk only the reader learns: the
    bi-encoder below stays what it was, and what it says of a text is computed once.
    """

    def __init__(self, network: SplitModule, tokenizer: Any, max_length: int, *, frozen: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in sentence-transformers
        self.network = network
        self.tokenizer: Any = tokenizer
        self.max_length = max_length
        self.frozen = frozen
        self._half: list[SplitModule] = []  # in a list: a copy that is no part of the model
        self._kept: dict[str, EncodedTexts] = {}
        self._bytes = 0
        if frozen:
            for part in (network.embeddings, network.separate, network.upper, network.terms):
                if part is not None:
                    part.requires_grad_(False)
        network.bias.requires_grad_(False)  # the same for every document of a list: it teaches nothing

    @classmethod
    def start(cls, base: str, separate: int, max_length: int, *, frozen: bool) -> SplitPairs:
        """From an exported split network, or a Hugging Face bi-encoder with an untrained reader on top.

        In the bi-encoder's folder, `terms/` is a sparse encoder to stand beside it, and `reader.safetensors` holds
        weights of the network that were trained before.
        """
        if (folder := exported_folder(base)) is not None:
            return cls(read_network(folder), read_tokenizer(folder), max_length, frozen=frozen)
        sparse = Path(base) / SPARSE
        network = SplitModule.load(
            base, separate, SLOPE, terms=SparseEncoderModule.load(sparse) if sparse.is_dir() else None
        )
        if (trained := Path(base) / TRAINED).is_file():
            network.load_state_dict(load_file(trained), strict=False)
        return cls(network, AutoTokenizer.from_pretrained(base), max_length, frozen=frozen)

    def train(self, mode: bool = True) -> SplitPairs:
        """Learning or not, without dropout: its noise costs half the time on a CPU and gained nothing."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return self

    def preprocess(self, inputs: Sequence[Any], *_: Any, **__: Any) -> dict[str, Any]:
        """The pairs' texts, each once, and which of them make each pair."""
        queries, documents = (list(dict.fromkeys(column)) for column in zip(*inputs, strict=True))
        asked = {text: row for row, text in enumerate(queries)}
        read = {text: row for row, text in enumerate(documents)}
        return {
            "queries": queries,
            "documents": documents,
            "query_rows": torch.tensor([asked[query] for query, _ in inputs]),
            "document_rows": torch.tensor([read[document] for _, document in inputs]),
        }

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Adds `scores`, (pairs, 1): logits."""
        asked, read = features["query_rows"].tolist(), features["document_rows"].tolist()
        queries, documents = self._asking(self._sides(features["queries"])), self._sides(features["documents"])
        order = sorted(range(len(read)), key=lambda row: len(documents[read[row]].ids))
        found = []
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            query = _padded([queries[asked[row]] for row in rows])
            found.append(self.network.join(query, _padded([documents[read[row]] for row in rows])))
        back = torch.tensor(order, device=found[0].device).argsort()
        return {**features, "scores": torch.cat(found)[back].unsqueeze(1)}

    def reads(self, tokens: int) -> None:
        """Reads so many tokens of a text from now on, or what the trunk has positions for."""
        self.max_length = min(tokens, self.network.positions)
        self._kept, self._bytes = {}, 0

    @torch.no_grad()
    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The bi-encoder's unit vectors, (texts, width): the network finds its own hard negatives."""
        made = [
            side.vector.float()
            for start in range(0, len(texts), CHUNK)
            for side in self._sides(texts[start : start + CHUNK])
        ]
        found: NDArray[np.float32] = torch.stack(made).cpu().numpy()
        return found

    def _sides(self, texts: Sequence[str]) -> list[EncodedTexts]:
        """What the trunk says of each text. A frozen one is asked once a text."""
        if not self.frozen:
            return self._encode(self.network, texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        with torch.no_grad():
            fresh = dict(zip(new, self._encode(self._lower(), new), strict=True))
        found = [fresh[text] if text in fresh else self._kept[text] for text in texts]
        for text, side in fresh.items():
            if self._bytes < KEEP:
                self._kept[text] = side
                self._bytes += side.states.nbytes
        return found

    def _asking(self, queries: list[EncodedTexts]) -> list[EncodedTexts]:
        """The same, with what each query looks for."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            sought = self.network.asking(_padded(queries)).terms
        if sought is None:
            return queries
        return [query._replace(terms=terms) for query, terms in zip(queries, sought, strict=True)]

    def _encode(self, network: SplitModule, texts: Sequence[str]) -> list[EncodedTexts]:
        if not texts:
            return []
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        found: dict[int, EncodedTexts] = {}
        device = network.slope.device
        # Equal lengths together: nothing is computed for padding.
        for _, same in groupby(sorted(range(len(ids)), key=lambda row: len(ids[row])), lambda row: len(ids[row])):
            rows = list(same)
            for start in range(0, len(rows), ROWS):
                part = rows[start : start + ROWS]
                side = network.encode(torch.tensor([ids[row] for row in part], device=device))
                if self.frozen:
                    side = side._replace(states=side.states.half())
                for place, row in enumerate(part):
                    one = (column[place] for column in side[:3])
                    # Copies of what is kept: a view would keep the whole batch.
                    found[row] = EncodedTexts(*(value.clone() if self.frozen else value for value in one))
        return [found[row] for row in range(len(ids))]

    def _lower(self) -> SplitModule:
        """The frozen layers, in half precision where that is faster."""
        if not half_is_faster(self.network.slope.device):
            return self.network
        if not self._half:
            self._half.append(copy.deepcopy(self.network).bfloat16())
        return self._half[0]

    def get_config_dict(self) -> dict[str, Any]:
        """What rebuilds the module beside its weights."""
        return {"separate": len(self.network.separate), "max_length": self.max_length, "frozen": self.frozen}

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Weights, sizes and tokenizer, as a checkpoint needs them."""
        self.save_config(output_path)
        self.save_torch_weights(output_path)
        self.tokenizer.save_pretrained(output_path)


def _padded(rows: Sequence[EncodedTexts]) -> Side:
    """Texts of unequal length as one batch, in float32."""
    ids = pad_sequence([row.ids for row in rows], batch_first=True)
    states = pad_sequence([row.states for row in rows], batch_first=True)
    terms = [row.terms for row in rows if row.terms is not None]
    return Side(
        ids, states.float(), torch.stack([row.vector for row in rows]).float(), torch.stack(terms) if terms else None
    )


def exported_folder(base: str) -> Path | None:
    """The folder of a base that is an exported model: `resift:small`, or one that `resift train` made."""
    folder = bundled_folder(base.removeprefix("resift:")) if base.startswith("resift:") else Path(base)
    return folder if (folder / FILE).is_file() else None


def build(recipe: Recipe) -> CrossEncoder:
    """The untrained cross-encoder. What is random in it comes from the recipe's seed."""
    set_seed(recipe.seed)
    base, length = recipe.base, recipe.max_length
    if recipe.network == "split":
        pairs = SplitPairs.start(base, recipe.separate, length, frozen=recipe.frozen)
        split: CrossEncoder = CrossEncoder(modules=[pairs])
        return split
    if exported_folder(base) is not None:
        raise InputError(f"{base} is a split network; a cls one starts from a Hugging Face folder")
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    plain: CrossEncoder = CrossEncoder(
        base, num_labels=1, max_length=length, config_kwargs=quiet, local_files_only=Path(base).is_dir()
    )
    return plain


def own_embed(model: CrossEncoder) -> Embed | None:
    """The bi-encoder inside a split network; None for another one."""
    first: Any = model[0]
    return first.vectors if isinstance(first, SplitPairs) else None
