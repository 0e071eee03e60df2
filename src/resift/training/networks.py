"""Networks as sentence-transformers trains them: the plain [CLS] cross-encoder, and the split network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer

from resift.errors import InputError
from resift.export.split_network import Match, SplitNetwork
from resift.manifest import FILE
from resift.models import bundled_folder
from resift.training.exported import read_network, read_tokenizer
from resift.training.teachers import half_is_faster

Network = Literal["split", "cls"]
Learn = Literal["joint", "match"]

SLOPE = 8.0  # logit per cosine at the start: as much as the match beside it then says
ROWS = 32  # texts or pairs at once: sorted by length, so small batches pad little
JOINT = "joint.safetensors"
KEEP = 5 << 30  # bytes of frozen states remembered: texts come again in other lists and epochs


class SplitPairs(InputModule):
    """The split network as the one module of a `CrossEncoder`. `_` and `__` take what other modules are told.

    A text that comes in several pairs of a batch is read once. With `frozen` lower layers only the joint layers
    learn; the bi-encoder below stays what it was.
    """

    def __init__(
        self, network: SplitNetwork, tokenizer: Any, max_length: int, *, frozen: bool, learn: Learn = "joint"
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in sentence-transformers
        self.network = network
        self.tokenizer: Any = tokenizer
        self.max_length = max_length
        self.frozen = frozen
        self._half: list[SplitNetwork] = []  # in a list: a copy that is no part of the model
        self._kept: dict[str, Tensor] = {}
        self._bytes = 0
        if frozen:
            for part in (network.embeddings, network.separate):
                part.requires_grad_(False)
        self.learn = learn
        if learn == "match":
            network.joint.requires_grad_(False)
        network.bias.requires_grad_(False)  # the same for every document of a list: it teaches nothing

    @classmethod
    def start(cls, base: str, separate: int, max_length: int, *, frozen: bool, learn: Learn = "joint") -> SplitPairs:
        """From an exported split network, or a Hugging Face bi-encoder: its own layers below, its last ones above.

        `joint.safetensors` in the bi-encoder's folder holds upper layers that were trained before.
        """
        if (folder := exported_folder(base)) is not None:
            return cls(read_network(folder), read_tokenizer(folder), max_length, frozen=frozen, learn=learn)
        joint = Path(base) / JOINT
        network = SplitNetwork.load(base, joint if joint.is_file() else None, separate, SLOPE, 0.0)
        network.match = Match(network.width)
        return cls(network, AutoTokenizer.from_pretrained(base), max_length, frozen=frozen, learn=learn)

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
        queries, documents = self._states(features["queries"]), self._states(features["documents"])
        order = sorted(range(len(read)), key=lambda row: len(documents[read[row]]))
        found = []
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            query, query_mask = _padded([queries[asked[row]].float() for row in rows])
            document, document_mask = _padded([documents[read[row]].float() for row in rows])
            found.append(self._join(query, query_mask, document, document_mask).float())
        back = torch.tensor(order, device=found[0].device).argsort()
        return {**features, "scores": torch.cat(found)[back].unsqueeze(1)}

    def _join(self, query: Tensor, query_mask: Tensor, document: Tensor, document_mask: Tensor) -> Tensor:
        network = self.network
        if self.learn == "joint" or network.match is None:
            return network.join(query, query_mask, document, document_mask)
        with torch.no_grad():  # nothing below the cosine learns: no need to remember how it came about
            cosine = network.cosine(query, query_mask, document, document_mask)
        match: Tensor = network.match(query, query_mask, document, document_mask)
        return network.slope * cosine + match + network.bias

    def _states(self, texts: Sequence[str]) -> list[Tensor]:
        """Token states of the lower layers, (tokens, width) for each text. Frozen layers are asked once a text."""
        if not self.frozen:
            return self._encode(self.network, texts)
        new = [text for text in texts if text not in self._kept]
        with torch.no_grad():
            fresh = dict(zip(new, self._encode(self._lower(), new), strict=True))
        found = [fresh[text] if text in fresh else self._kept[text] for text in texts]
        for text, states in fresh.items():
            if self._bytes < KEEP:
                self._kept[text] = states
                self._bytes += states.nbytes
        return found

    def _encode(self, network: SplitNetwork, texts: Sequence[str]) -> list[Tensor]:
        if not texts:
            return []
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        found: dict[int, Tensor] = {}
        device = network.slope.device
        for start in range(0, len(order), ROWS):
            rows = order[start : start + ROWS]
            batch, mask = _padded([torch.tensor(ids[row], device=device) for row in rows])
            states = network.encode(batch, mask)
            found.update((row, states[place, : len(ids[row])]) for place, row in enumerate(rows))
        return [found[row] if self.frozen is False else found[row].clone() for row in range(len(ids))]

    def _lower(self) -> SplitNetwork:
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


def _padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of unequal length as one tensor and its mask."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    padded = pad_sequence(list(rows), batch_first=True)
    mask = torch.arange(padded.shape[1], device=padded.device)[None, :] < lengths[:, None]
    return padded, mask.long()


def exported_folder(base: str) -> Path | None:
    """The folder of a base that is an exported model: `resift:small`, or one that `resift train` made."""
    folder = bundled_folder(base.removeprefix("resift:")) if base.startswith("resift:") else Path(base)
    return folder if (folder / FILE).is_file() else None


def build(
    base: str, network: Network, *, separate: int, max_length: int, frozen: bool, learn: Learn = "joint"
) -> CrossEncoder:
    """The untrained cross-encoder."""
    if network == "split":
        module = SplitPairs.start(base, separate, max_length, frozen=frozen, learn=learn)
        split: CrossEncoder = CrossEncoder(modules=[module])
        return split
    if exported_folder(base) is not None:
        raise InputError(f"{base} is a split network; a cls one starts from a Hugging Face folder")
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    plain: CrossEncoder = CrossEncoder(
        base, num_labels=1, max_length=max_length, config_kwargs=quiet, local_files_only=Path(base).is_dir()
    )
    return plain


def weigh(model: CrossEncoder, slope: float) -> None:
    """Sets what the cosine counts beside the match of a split network. Raises InputError for another network."""
    first: Any = model[0]
    if not isinstance(first, SplitPairs) or slope <= 0:
        raise InputError(f"a slope is above 0 and of a split network; got {slope} for a {type(first).__name__}")
    with torch.no_grad():
        first.network.slope.fill_(slope)
