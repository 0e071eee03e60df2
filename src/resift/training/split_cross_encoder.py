"""The split network as sentence-transformers trains it: a module that scores pairs of texts."""

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
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer

from resift.engines.split.reader import open_session
from resift.export.restore import read_network, read_tokenizer
from resift.models.bundled import bundled_folder
from resift.models.manifest import ENCODER, MANIFEST_FILE, Manifest
from resift.networks.splade import SparseEncoderModule
from resift.networks.split import EncodedBatch, SplitModule
from resift.text.normal import normalise_all
from resift.training.teachers import bfloat16_is_faster

START_SLOPE = 10.0  # logit per cosine at the start: about as much as the votes beside it then say
READER_FILE, TERMS_FOLDER = "reader.safetensors", "terms"
TEXTS_IN_MEMORY = 1 << 16  # whose token states are held at once while only their vectors are wanted
ROWS_PER_BATCH = 32  # texts or pairs: sorted by length, so small batches pad little
TOKENS_IN_USE = 256  # of a text once training is over: what the bi-encoder below was trained to read
GRAPH_PRECISION = "int8-dynamic"  # of a folder whose encoder's graph is faster than the same layers in torch
CACHE_BYTES = 8 << 30  # of frozen token states: texts come again in other lists and epochs


class EncodedText(NamedTuple):
    """One text as the frozen layers encode it, without padding, in half precision."""

    ids: Tensor
    states: Tensor
    vector: Tensor
    terms: Tensor | None = None


class SplitPairs(InputModule):
    """The split network as the one module of a `CrossEncoder`. `_` and `__` take arguments for other modules.

    A text that comes in several pairs of a batch is encoded once. With a `frozen` trunk only the reader learns: the
    bi-encoder below stays as it was, and each text is encoded once and cached.
    """

    def __init__(
        self, network: SplitModule, tokenizer: Any, max_length: int, *, frozen: bool, graph: Path | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in sentence-transformers
        self.network = network
        self.tokenizer: Any = tokenizer
        self.max_length = max_length
        self.frozen = frozen
        self._bfloat16_copy: list[SplitModule] = []  # in a list, so that torch does not count it as part of the model
        self._cache: dict[str, EncodedText] = {}
        self._cache_bytes = 0
        self._graph = open_session(graph, torch.get_num_threads()) if frozen and graph is not None else None
        if frozen:
            for part in (network.embeddings, network.separate, network.upper, network.terms):
                if part is not None:
                    part.requires_grad_(False)
        network.bias.requires_grad_(False)  # the same for every document of a list: it teaches nothing
        network.length.requires_grad_(False)  # labels that name one answer say nothing of it
        network.brevity.requires_grad_(False)  # whole questions say nothing of two words

    @classmethod
    def start(cls, base: str, separate: int, max_length: int, *, frozen: bool) -> SplitPairs:
        """Load an exported split network, or a Hugging Face bi-encoder and put an untrained reader on top.

        In the bi-encoder's folder, `terms/` is a sparse encoder to stand beside it, and `reader.safetensors` holds
        weights of the network that were trained before, or how rare each token is (`rarity`).
        """
        if (folder := exported_folder(base)) is not None:
            graph = folder / ENCODER if Manifest.peek(folder).precision == GRAPH_PRECISION else None
            return cls(read_network(folder), read_tokenizer(folder), max_length, frozen=frozen, graph=graph)
        sparse, weights = Path(base) / TERMS_FOLDER, Path(base) / READER_FILE
        trained = load_file(weights) if weights.is_file() else {}
        terms = SparseEncoderModule.load(sparse) if sparse.is_dir() else None
        network = SplitModule.load(base, separate, START_SLOPE, terms=terms, rarity=trained.get("rarity"))
        network.load_state_dict(trained, strict=False)
        return cls(network, AutoTokenizer.from_pretrained(base), max_length, frozen=frozen)

    def train(self, mode: bool = True) -> SplitPairs:
        """Switch between training and use, both without dropout.

        Its noise costs half the time on a CPU and gained nothing.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return self

    def preprocess(self, inputs: Sequence[Any], *_: Any, **__: Any) -> dict[str, Any]:
        """Return the pairs' texts, each once, and the rows of the two texts of each pair."""
        queries, documents = (list(dict.fromkeys(column)) for column in zip(*inputs, strict=True))
        query_rows = {text: row for row, text in enumerate(queries)}
        document_rows = {text: row for row, text in enumerate(documents)}
        return {
            "queries": queries,
            "documents": documents,
            "query_rows": torch.tensor([query_rows[query] for query, _ in inputs]),
            "document_rows": torch.tensor([document_rows[document] for _, document in inputs]),
        }

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Add `scores`, (pairs, 1): logits."""
        query_rows, document_rows = features["query_rows"].tolist(), features["document_rows"].tolist()
        queries = self._with_terms(self._encode_cached(features["queries"]))
        documents = self._encode_cached(features["documents"])
        order = sorted(range(len(document_rows)), key=lambda pair: len(documents[document_rows[pair]].ids))
        scores = []
        for start in range(0, len(order), ROWS_PER_BATCH):
            pairs = order[start : start + ROWS_PER_BATCH]
            query = _pad([queries[query_rows[pair]] for pair in pairs])
            scores.append(self.network.score(query, _pad([documents[document_rows[pair]] for pair in pairs])))
        back = torch.tensor(order, device=scores[0].device).argsort()
        return {**features, "scores": torch.cat(scores)[back].unsqueeze(1)}

    def set_max_length(self, tokens: int) -> None:
        """Read up to `tokens` of a text from now on, or as many as the trunk has positions for."""
        self.max_length = min(tokens, self.network.positions)
        self._cache, self._cache_bytes = {}, 0

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the bi-encoder's unit vectors, (texts, width): the network mines its own hard negatives."""
        vectors = [
            text.vector.float()
            for start in range(0, len(texts), TEXTS_IN_MEMORY)
            for text in self._encode_cached(texts[start : start + TEXTS_IN_MEMORY])
        ]
        array: NDArray[np.float32] = torch.stack(vectors).cpu().numpy()
        return array

    def _encode_cached(self, texts: Sequence[str]) -> list[EncodedText]:
        """Encode each text; where the trunk is frozen, once."""
        if not self.frozen:
            return self._encode(self.network, texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._cache]
        with torch.no_grad():
            fresh = dict(zip(new, self._encode(self._frozen_network(), new), strict=True))
        encoded = [fresh[text] if text in fresh else self._cache[text] for text in texts]
        for text, value in fresh.items():
            if self._cache_bytes < CACHE_BYTES:
                self._cache[text] = value
                self._cache_bytes += value.states.nbytes
        return encoded

    def _with_terms(self, queries: list[EncodedText]) -> list[EncodedText]:
        """Add the terms that each query looks for, where the network has a sparse encoder."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            terms = self.network.with_terms(_pad(queries)).terms
        if terms is None:
            return queries
        return [query._replace(terms=of_query) for query, of_query in zip(queries, terms, strict=True)]

    def _encode(self, network: SplitModule, texts: Sequence[str]) -> list[EncodedText]:
        if not texts:
            return []
        ids = self.tokenizer(normalise_all(texts), truncation=True, max_length=self.max_length)["input_ids"]
        encoded: dict[int, EncodedText] = {}
        device = network.slope.device
        # Equal lengths together: nothing is computed for padding.
        for _, group in groupby(sorted(range(len(ids)), key=lambda row: len(ids[row])), lambda row: len(ids[row])):
            rows = list(group)
            for start in range(0, len(rows), ROWS_PER_BATCH):
                part = rows[start : start + ROWS_PER_BATCH]
                batch = self._encode_batch(network, torch.tensor([ids[row] for row in part], device=device))
                if self.frozen:
                    batch = batch._replace(states=batch.states.half())
                for index, row in enumerate(part):
                    values = (column[index] for column in batch[:3])
                    # Copies of what is cached: a view would keep the whole batch.
                    encoded[row] = EncodedText(*(value.clone() if self.frozen else value for value in values))
        return [encoded[row] for row in range(len(ids))]

    def _encode_batch(self, network: SplitModule, ids: Tensor) -> EncodedBatch:
        """Encode texts of equal length; a frozen 8-bit encoder on a CPU by its graph, which is several times as fast.

        The reader then learns from the very states that it gets in use.
        """
        if self._graph is None or network is not self.network or ids.device.type != "cpu":
            return network.encode(ids)
        states, vector = map(torch.from_numpy, self._graph.run(["states", "vector"], {"input_ids": ids.numpy()}))
        if network.terms is not None:
            states = torch.cat([states, network.terms.encode(ids)], -1)
        return EncodedBatch(ids, states, vector)

    def _frozen_network(self) -> SplitModule:
        """Return the network in half precision where that is faster."""
        if not bfloat16_is_faster(self.network.slope.device):
            return self.network
        if not self._bfloat16_copy:
            self._bfloat16_copy.append(copy.deepcopy(self.network).bfloat16())
        return self._bfloat16_copy[0]

    def get_config_dict(self) -> dict[str, Any]:
        """Return what rebuilds the module beside its weights."""
        return {"separate": len(self.network.separate), "max_length": self.max_length, "frozen": self.frozen}

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write weights, sizes and tokenizer, as a checkpoint needs them."""
        self.save_config(output_path)
        self.save_torch_weights(output_path)
        self.tokenizer.save_pretrained(output_path)


def _pad(texts: Sequence[EncodedText]) -> EncodedBatch:
    """Return texts of unequal length as one batch, in float32."""
    ids = pad_sequence([text.ids for text in texts], batch_first=True)
    states = pad_sequence([text.states for text in texts], batch_first=True)
    vectors = torch.stack([text.vector for text in texts])
    terms = [text.terms for text in texts if text.terms is not None]
    return EncodedBatch(ids, states.float(), vectors.float(), torch.stack(terms) if terms else None)


def exported_folder(base: str) -> Path | None:
    """Return the folder of a base that is an exported model: `resift:small`, or one that training wrote; else None."""
    folder = bundled_folder(base.removeprefix("resift:")) if base.startswith("resift:") else Path(base)
    return folder if (folder / MANIFEST_FILE).is_file() else None
