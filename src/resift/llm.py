"""Reranking by a large language model: any chat model orders a list, or grades each document by itself.

from resift import Reranker
from resift.llm import LlmScorer

reranker = Reranker(LlmScorer(chat_model))    # LangChain, LlamaIndex, or a function of yours
reranker = Reranker("openai:gpt-4o-mini")     # any endpoint that speaks chat completions
"""

from __future__ import annotations

from resift.services.llm.chat import Answer
from resift.services.llm.prompts import Prompt
from resift.services.llm.scorer import LlmScorer

__all__ = ["Answer", "LlmScorer", "Prompt"]
