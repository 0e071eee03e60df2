"""What is known of each service and server: one row each, and nothing else in the package tells them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resift.scorer import Scale
from resift.services.http.provider import Provider


@dataclass(frozen=True, slots=True)
class Wire:
    """How a request and its answer are spelled. The defaults are what Cohere and Jina share, and most servers copy."""

    path: str = "v1/rerank"
    model: bool = True
    """Whether requests name the model; a server of one model needs no name."""
    documents: str = "documents"
    as_objects: bool = False
    """Whether query and documents go as `{"text": ...}`."""
    limit: str | None = "top_n"
    """The field that says how many to return, always sent: some services return ten unless told."""
    results: str | None = "results"
    """Where the answer holds its list; None: it is the list."""
    score: str = "relevance_score"
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Provider):
    """A service that reranks, or a kind of server."""

    wire: Wire
    scale: Scale
    """What its scores mean, asked as `wire` asks."""
    url: str | None = None
    """Where it is; None for what people run themselves."""
    hosted_path: str | None = None
    """The path at `url`, where it differs from everywhere else; `{model}` is the model."""
    key_urls: Mapping[str, str] = field(default_factory=dict)
    """Keys that begin so belong to another address."""
    documents: int | None = None
    """Documents that one request may hold."""
    bytes: int | None = None
    """Bytes that the texts of one request may have, the query counted once per document."""
    info: str | None = None
    """A path that tells the server's own limit of documents."""
    scales: Mapping[str, Scale] = field(default_factory=dict)
    """Models whose scores mean something else than the others', by how they begin."""


SERVICES: Mapping[str, Service] = {
    # docs.cohere.com/reference/rerank: 10,000 documents at most, 1,000 recommended
    "cohere": Service(
        title="Cohere",
        wire=Wire("v2/rerank"),
        scale=Scale.PROBABILITY,
        variables=("CO_API_KEY", "COHERE_API_KEY"),
        url="https://api.cohere.com",
        documents=1000,
    ),
    # api.jina.ai/redoc; v3 scores a whole list at once, by cosine
    "jina": Service(
        title="Jina",
        wire=Wire(extra={"return_documents": False}),
        scale=Scale.PROBABILITY,
        variables=("JINA_API_KEY",),
        url="https://api.jina.ai",
        scales={"jina-reranker-v3": Scale.SIMILARITY},
    ),
    # docs.voyageai.com/reference/reranker-api: 600,000 tokens; no text has more tokens than bytes
    "voyage": Service(
        title="Voyage",
        wire=Wire(limit="top_k", results="data", extra={"return_documents": False, "truncation": True}),
        scale=Scale.PROBABILITY,
        variables=("VOYAGE_API_KEY",),
        url="https://api.voyageai.com",
        key_urls={"al-": "https://ai.mongodb.com"},
        documents=1000,
        bytes=600_000,
    ),
    # mixedbread 0.54.0
    "mixedbread": Service(
        title="Mixedbread",
        wire=Wire(
            "v1/reranking",
            documents="input",
            limit="top_k",
            results="data",
            score="score",
            extra={"return_input": False},
        ),
        scale=Scale.PROBABILITY,
        variables=("MXBAI_API_KEY",),
        url="https://api.mixedbread.com",
    ),
    # text-embeddings-inference 1.9: 32 texts and 2,000,000 bytes by default; the bytes leave room for JSON's escapes
    "tei": Service(
        title="text-embeddings-inference",
        wire=Wire(
            "rerank",
            model=False,
            documents="texts",
            limit=None,
            results=None,
            score="score",
            extra={"raw_scores": True, "truncate": True},
        ),
        scale=Scale.LOGIT,
        variables=("TEI_API_KEY",),
        documents=32,
        bytes=1_500_000,
        info="info",
    ),
    # vllm/entrypoints/pooling/scoring: an over-long pair is an error unless it is told to cut, and which side
    "vllm": Service(
        title="vLLM",
        wire=Wire(extra={"truncate_prompt_tokens": -1, "truncation_side": "right", "use_activation": False}),
        scale=Scale.LOGIT,
        variables=("VLLM_API_KEY",),
    ),
    # infinity 0.0.78: --max-client-batch-size 2048
    "infinity": Service(
        title="infinity",
        wire=Wire("rerank", extra={"raw_scores": True, "return_documents": False}),
        scale=Scale.LOGIT,
        variables=("INFINITY_API_KEY",),
        documents=2048,
    ),
    # llama.cpp tools/server: raw logits
    "llamacpp": Service(
        title="llama.cpp",
        wire=Wire(),
        scale=Scale.LOGIT,
        variables=("LLAMA_API_KEY",),
        permanent={
            "too large to process": (
                "llama.cpp doesn't cut texts: start it with a larger --ubatch-size and --batch-size, "
                "or rerank shorter documents"
            )
        },
    ),
    # docs.nvidia.com/nim/nemo-retriever/text-reranking: 512 passages
    "nim": Service(
        title="NVIDIA NIM",
        wire=Wire(
            "v1/ranking",
            documents="passages",
            as_objects=True,
            limit=None,
            results="rankings",
            score="logit",
            extra={"truncate": "END"},
        ),
        scale=Scale.LOGIT,
        variables=("NVIDIA_API_KEY",),
        url="https://ai.api.nvidia.com",
        hosted_path="v1/retrieval/{model}/reranking",
        documents=512,
    ),
    "compatible": Service(
        title="the service",
        wire=Wire(),
        scale=Scale.PROBABILITY,
        variables=("RERANK_API_KEY",),
    ),
}
"""scheme → service."""
