"""Factories of scorers, one for each service: `Reranker("cohere:NAME")` calls `cohere("NAME")`."""

from __future__ import annotations

from functools import partial

from resift.services.rerank.scorer import RemoteScorer

cohere = partial(RemoteScorer, "cohere")
jina = partial(RemoteScorer, "jina")
voyage = partial(RemoteScorer, "voyage")
mixedbread = partial(RemoteScorer, "mixedbread")
contextual = partial(RemoteScorer, "contextual")
tei = partial(RemoteScorer, "tei")
vllm = partial(RemoteScorer, "vllm")
infinity = partial(RemoteScorer, "infinity")
llamacpp = partial(RemoteScorer, "llamacpp")
nim = partial(RemoteScorer, "nim")
compatible = partial(RemoteScorer, "compatible")
