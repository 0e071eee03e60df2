"""Every service and server that resift knows: one row each. Nothing else in the package tells them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resift.scorer import Scale
from resift.services.http.provider import Provider

IN_QUERY = "query"
"""The instruction stands before the query, in the same text."""


@dataclass(frozen=True, slots=True)
class RequestFormat:
    """The fields of a request and its response. The defaults are Cohere's and Jina's, which most servers copy."""

    path: str = "v1/rerank"
    names_model: bool = True
    """Whether requests name the model; a server of one model needs no name."""
    documents: str = "documents"
    """The field that holds the documents."""
    text_objects: bool = False
    """Whether query and documents are sent as `{"text": ...}`."""
    limit: str | None = "top_n"
    """The field for the number of results, which is always sent: some services return ten without it."""
    results: str | None = "results"
    """The response's field that holds the list of results; None: the response is the list."""
    score: str = "relevance_score"
    """The field of a result that holds its score."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Provider):
    """A rerank service, or a kind of server."""

    request_format: RequestFormat
    scale: Scale
    """What its scores mean, for requests in `request_format`."""
    url: str | None = None
    """Where it is; None for servers that users run themselves."""
    hosted_path: str | None = None
    """The path at `url`, where it is not `request_format.path`; `{model}` stands for the model."""
    key_urls: Mapping[str, str] = field(default_factory=dict)
    """Beginning of a key → the URL that such keys belong to."""
    max_documents: int | None = None
    """Documents that one request may hold."""
    max_bytes: int | None = None
    """Bytes that the texts of one request may have, the query counted once per document."""
    info_path: str | None = None
    """The path at which a server tells its own limit of documents."""
    model_scales: Mapping[str, Scale] = field(default_factory=dict)
    """Beginning of a model's name → its scale, where that is not the service's."""
    instructions: Mapping[str, str] = field(default_factory=dict)
    """Beginning of the name of a model that reads instructions → the field that holds one, or `IN_QUERY`."""
    examples: tuple[str, ...]
    """Names that its scheme takes, as `resift models` shows them."""
    description: str | None = None
    """What its scheme takes, in words, where "a model of" or "a server of" and the title don't say it."""

    def describe(self, scheme: str) -> str:
        """Return what `scheme:` takes, in words.

        >>> SERVICES["cohere"].describe("cohere")
        'a model of Cohere: cohere:rerank-v3.5 (key: CO_API_KEY)'
        >>> SERVICES["vllm"].describe("vllm")
        'a server of vLLM: vllm:http://HOST:PORT or vllm:http://HOST:PORT#MODEL'
        """
        names = " or ".join(f"{scheme}:{example}" for example in self.examples)
        if self.url is not None:
            return f"a model of {self.title}: {names} (key: {self.key_variables[0]})"
        return f"{self.description or f'a server of {self.title}'}: {names}"


SERVICES: Mapping[str, Service] = {
    # docs.cohere.com/reference/rerank: 10,000 documents at most, 1,000 recommended
    "cohere": Service(
        title="Cohere",
        examples=("rerank-v3.5",),
        request_format=RequestFormat("v2/rerank"),
        scale=Scale.PROBABILITY,
        key_variables=("CO_API_KEY", "COHERE_API_KEY"),
        url="https://api.cohere.com",
        max_documents=1000,
    ),
    # api.jina.ai/redoc; v3 scores a whole list at once, by cosine
    "jina": Service(
        title="Jina",
        examples=("jina-reranker-v2-base-multilingual",),
        request_format=RequestFormat(extra={"return_documents": False}),
        scale=Scale.PROBABILITY,
        key_variables=("JINA_API_KEY",),
        url="https://api.jina.ai",
        model_scales={"jina-reranker-v3": Scale.SIMILARITY},
    ),
    # docs.voyageai.com/reference/reranker-api: 600,000 tokens; no text has more tokens than bytes
    "voyage": Service(
        title="Voyage",
        examples=("rerank-2.5",),
        request_format=RequestFormat(
            limit="top_k", results="data", extra={"return_documents": False, "truncation": True}
        ),
        scale=Scale.PROBABILITY,
        key_variables=("VOYAGE_API_KEY",),
        url="https://api.voyageai.com",
        key_urls={"al-": "https://ai.mongodb.com"},
        # its API has no field for one: rerank-2.5 and -lite read it in the query, older models don't follow it
        instructions={"rerank-2.5": IN_QUERY},
        max_documents=1000,
        max_bytes=600_000,
    ),
    # mixedbread 0.54.0
    "mixedbread": Service(
        title="Mixedbread",
        examples=("mixedbread-ai/mxbai-rerank-large-v2",),
        request_format=RequestFormat(
            "v1/reranking",
            documents="input",
            limit="top_k",
            results="data",
            score="score",
            extra={"return_input": False},
        ),
        scale=Scale.PROBABILITY,
        key_variables=("MXBAI_API_KEY",),
        url="https://api.mixedbread.com",
    ),
    # docs.contextual.ai/api-reference/rerank; every model of its name takes an instruction
    "contextual": Service(
        title="Contextual AI",
        examples=("ctxl-rerank-v2-instruct-multilingual",),
        request_format=RequestFormat(),
        scale=Scale.PROBABILITY,
        key_variables=("CONTEXTUAL_API_KEY",),
        url="https://api.contextual.ai",
        instructions={"": "instruction"},
    ),
    # text-embeddings-inference 1.9: 32 texts and 2,000,000 bytes by default; the bytes leave room for JSON's escapes
    "tei": Service(
        title="text-embeddings-inference",
        examples=("http://HOST:PORT",),
        request_format=RequestFormat(
            "rerank",
            names_model=False,
            documents="texts",
            limit=None,
            results=None,
            score="score",
            extra={"raw_scores": True, "truncate": True},
        ),
        scale=Scale.LOGIT,
        key_variables=("TEI_API_KEY",),
        max_documents=32,
        max_bytes=1_500_000,
        info_path="info",
    ),
    # vllm/entrypoints/pooling/scoring: an over-long pair is an error unless it is told to cut, and which side
    "vllm": Service(
        title="vLLM",
        examples=("http://HOST:PORT", "http://HOST:PORT#MODEL"),
        request_format=RequestFormat(
            extra={"truncate_prompt_tokens": -1, "truncation_side": "right", "use_activation": False}
        ),
        scale=Scale.LOGIT,
        key_variables=("VLLM_API_KEY",),
    ),
    # infinity 0.0.78: --max-client-batch-size 2048
    "infinity": Service(
        title="infinity",
        examples=("http://HOST:PORT#MODEL",),
        request_format=RequestFormat("rerank", extra={"raw_scores": True, "return_documents": False}),
        scale=Scale.LOGIT,
        key_variables=("INFINITY_API_KEY",),
        max_documents=2048,
    ),
    # llama.cpp tools/server: raw logits
    "llamacpp": Service(
        title="llama.cpp",
        examples=("http://HOST:PORT",),
        request_format=RequestFormat(),
        scale=Scale.LOGIT,
        key_variables=("LLAMA_API_KEY",),
        permanent_errors={
            "too large to process": (
                "llama.cpp doesn't cut texts: start it with a larger --ubatch-size and --batch-size, "
                "or rerank shorter documents"
            )
        },
    ),
    # docs.nvidia.com/nim/nemo-retriever/text-reranking: 512 passages
    "nim": Service(
        title="NVIDIA NIM",
        examples=("nvidia/llama-3.2-nv-rerankqa-1b-v2", "http://HOST:PORT#MODEL"),
        request_format=RequestFormat(
            "v1/ranking",
            documents="passages",
            text_objects=True,
            limit=None,
            results="rankings",
            score="logit",
            extra={"truncate": "END"},
        ),
        scale=Scale.LOGIT,
        key_variables=("NVIDIA_API_KEY",),
        url="https://ai.api.nvidia.com",
        hosted_path="v1/retrieval/{model}/reranking",
        max_documents=512,
    ),
    "compatible": Service(
        title="the service",
        examples=("https://HOST/v1/rerank#MODEL",),
        description="any URL that answers as Cohere's or Jina's does",
        request_format=RequestFormat(),
        scale=Scale.PROBABILITY,
        key_variables=("RERANK_API_KEY",),
    ),
}
"""scheme → service."""
