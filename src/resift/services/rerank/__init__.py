"""Rerankers behind HTTP: services by model, servers by URL. Needs `resift[remote]`.

Each name here is an engine of `resift.scoring.load`: `Reranker("cohere:rerank-v3.5")` calls `cohere("rerank-v3.5")`.
"""

from __future__ import annotations

from functools import partial

from resift.services.rerank.scorer import RemoteScorer

cohere = partial(RemoteScorer, "cohere")
jina = partial(RemoteScorer, "jina")
voyage = partial(RemoteScorer, "voyage")
mixedbread = partial(RemoteScorer, "mixedbread")
tei = partial(RemoteScorer, "tei")
vllm = partial(RemoteScorer, "vllm")
infinity = partial(RemoteScorer, "infinity")
llamacpp = partial(RemoteScorer, "llamacpp")
nim = partial(RemoteScorer, "nim")
compatible = partial(RemoteScorer, "compatible")

__all__ = [
    "RemoteScorer",
    "cohere",
    "compatible",
    "infinity",
    "jina",
    "llamacpp",
    "mixedbread",
    "nim",
    "tei",
    "vllm",
    "voyage",
]
