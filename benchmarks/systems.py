"""The systems that peers.py compares, each called as its own documentation shows.

`prepare` turns passages into the system's own objects (not timed). `rank` is timed. `read` returns the scores, 0 to 1,
in the order of the passages (not timed).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FLASHRANK = (
    "ms-marco-MiniLM-L-12-v2",
    "flashrank-MiniLM-L-12-v2_Q.onnx",
)  # a name that FlashRank knows: it loads the file from our folder
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Loaded:
    """A system with its model in memory."""

    rank: Callable[[str, Any], Any]
    read: Callable[[Any, int], Sequence[float]]
    prepare: Callable[[Sequence[str]], Any] = list


@dataclass(frozen=True)
class System:
    """How to load a system, which distributions it needs, and whether its scores must equal float32's."""

    load: Callable[[Path], Loaded]
    installs: tuple[str, ...]
    exact: bool = True


def sigmoid(logits: Any) -> list[float]:
    """Return logits as numbers from 0 to 1."""
    return (1 / (1 + np.exp(-np.asarray(logits, np.float64)))).tolist()


def make_folders(torch_folder: Path, work: Path) -> None:
    """Write the same weights to `work` in every form that a system reads."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from sentence_transformers import CrossEncoder

    from resift.export.pair import export_model, input_names, trace

    if (work / "done").exists():
        return
    for precision in ("float32", "int8", "int8-dynamic"):
        export_model(str(torch_folder), work / precision, precision=precision)
    plain = work / "traced.onnx"
    network = CrossEncoder(str(torch_folder), device="cpu", model_kwargs={"attn_implementation": "eager"})
    trace(network.eval(), input_names(network, str(torch_folder)), plain)
    rounded = work / "traced-int8.onnx"
    quantize_dynamic(plain, rounded, per_channel=True, weight_type=QuantType.QInt8)
    for graph, kind in ((plain, "float32"), (rounded, "int8")):
        for folder, name in (
            (work / f"flash-{kind}" / FLASHRANK[0], FLASHRANK[1]),
            (work / f"plain-{kind}", "model.onnx"),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(graph, folder / name)
            for file in FILES:
                shutil.copyfile(torch_folder / file, folder / file)
    (work / "torch").symlink_to(torch_folder.resolve(), target_is_directory=True)
    (work / "done").touch()


def _sentence_transformers(backend: str) -> Callable[[Path], Loaded]:
    def load(work: Path) -> Loaded:
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(work / "torch"), device="cpu", backend=backend)
        return Loaded(
            lambda query, texts: model.predict([(query, text) for text in texts], show_progress_bar=False),
            lambda answer, _: answer.tolist(),
        )

    return load


def _llama_index(work: Path) -> Loaded:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.sbert_rerank import SentenceTransformerRerank

    reranker = SentenceTransformerRerank(model=str(work / "torch"), top_n=10**6, device="cpu")
    return Loaded(
        lambda query, nodes: reranker.postprocess_nodes(nodes, query_str=query),
        lambda nodes, _: [node.score for node in sorted(nodes, key=lambda node: int(node.node.node_id))],
        lambda texts: [NodeWithScore(node=TextNode(text=text, id_=str(n)), score=0.5) for n, text in enumerate(texts)],
    )


def _langchain(work: Path) -> Loaded:
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
    from langchain_community.cross_encoders import HuggingFaceCrossEncoder
    from langchain_core.documents import Document

    model = HuggingFaceCrossEncoder(model_name=str(work / "torch"), model_kwargs={"device": "cpu"})
    reranker = CrossEncoderReranker(model=model, top_n=10**6)

    def read(documents: Sequence[Document], _: int) -> list[float]:
        """Score the documents again: the reranker returns none. The scores must agree with its order."""
        from workload import QUERY

        scores = [float(score) for score in model.score([(QUERY, document.page_content) for document in documents])]
        assert scores == sorted(scores, reverse=True)
        indices = [document.metadata["index"] for document in documents]
        return [score for _, score in sorted(zip(indices, scores, strict=True))]

    return Loaded(
        lambda query, documents: reranker.compress_documents(documents, query),
        read,
        lambda texts: [Document(text, metadata={"index": index}) for index, text in enumerate(texts)],
    )


def _rerankers(work: Path) -> Loaded:
    from rerankers import Reranker

    model = Reranker(str(work / "torch"), model_type="cross-encoder", device="cpu", verbose=0)
    return Loaded(
        lambda query, texts: model.rank(query=query, docs=texts),
        lambda answer, _: sigmoid(
            [result.score for result in sorted(answer.results, key=lambda result: int(result.document.doc_id))]
        ),
    )


def _flashrank(kind: str) -> Callable[[Path], Loaded]:
    def load(work: Path) -> Loaded:
        from flashrank import Ranker, RerankRequest

        model = Ranker(model_name=FLASHRANK[0], cache_dir=str(work / f"flash-{kind}"), log_level="WARNING")

        def rank(query: str, texts: Sequence[str]) -> Any:
            items = [
                {"id": index, "text": text} for index, text in enumerate(texts)
            ]  # new each time: it writes into them
            return model.rerank(RerankRequest(query=query, passages=items))

        return Loaded(
            rank, lambda answer, _: [float(item["score"]) for item in sorted(answer, key=lambda item: item["id"])]
        )

    return load


def _fastembed(kind: str) -> Callable[[Path], Loaded]:
    def load(work: Path) -> Loaded:
        from fastembed.common.model_description import ModelSource
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        name, folder = f"local/{kind}", work / f"plain-{kind}"
        TextCrossEncoder.add_custom_model(model=name, sources=ModelSource(hf=name), model_file="model.onnx")
        model = TextCrossEncoder(model_name=name, specific_model_path=str(folder))
        return Loaded(lambda query, texts: list(model.rerank(query, texts)), lambda answer, _: sigmoid(answer))

    return load


def _resift(model: str) -> Callable[[Path], Loaded]:
    """Return the loader of a bundled model, or of a folder under `work`, with or without `openvino:` before it."""

    def load(work: Path) -> Loaded:
        from resift import Reranker

        scheme, colon, name = model.rpartition(":")
        whole = model if scheme == "resift" else f"{scheme}{colon}{work / name}"
        reranker = Reranker(whole, long_documents="first_window")

        def read(ranking: Any, _: int) -> list[float]:
            return sigmoid([hit.score for hit in sorted(ranking, key=lambda hit: hit.index)])

        return Loaded(reranker.rank, read)

    return load


TORCH = ("sentence-transformers", "torch")
SYSTEMS: dict[str, System] = {
    "sentence-transformers": System(_sentence_transformers("torch"), TORCH),
    "sentence-transformers onnx": System(_sentence_transformers("onnx"), (*TORCH, "optimum-onnx")),
    "sentence-transformers openvino": System(
        _sentence_transformers("openvino"), (*TORCH, "optimum-intel"), exact=False
    ),
    "LlamaIndex SentenceTransformerRerank": System(_llama_index, ("llama-index-postprocessor-sbert-rerank", "torch")),
    "LangChain CrossEncoderReranker": System(_langchain, ("langchain-classic", "langchain-community", *TORCH)),
    "rerankers": System(_rerankers, ("rerankers", "transformers", "torch")),
    "FlashRank float32": System(_flashrank("float32"), ("flashrank",)),
    "FlashRank int8": System(_flashrank("int8"), ("flashrank",), exact=False),
    "fastembed float32": System(_fastembed("float32"), ("fastembed",)),
    "fastembed int8": System(_fastembed("int8"), ("fastembed",), exact=False),
    "resift float32": System(_resift("float32"), ("resift",)),
    "resift int8-dynamic": System(_resift("int8-dynamic"), ("resift",), exact=False),
    "resift openvino float32": System(_resift("openvino:float32"), ("resift", "openvino")),
    "resift openvino int8": System(_resift("openvino:int8"), ("resift", "openvino"), exact=False),
    "resift:small": System(_resift("resift:small"), ("resift",), exact=False),
    "resift:tiny": System(_resift("resift:tiny"), ("resift",), exact=False),
    "resift:fast": System(_resift("resift:fast"), ("resift",), exact=False),
}
BASELINE = "sentence-transformers"
