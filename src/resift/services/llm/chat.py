"""One way to call every kind of LLM. A framework is recognised by its objects' methods: none is imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from resift.errors import InputError, ScorerError
from resift.services.http.response import as_count
from resift.services.llm.prompts import Prompt

TOKEN_FIELDS = (
    ("total_tokens",),
    ("prompt_tokens", "completion_tokens"),  # OpenAI and most servers that speak its protocol
    ("input_tokens", "output_tokens"),  # Anthropic
    ("prompt_token_count", "candidates_token_count"),  # Google
)
"""Names under which providers report tokens, which add up: the first row whose first name is there counts."""


class Answer(NamedTuple):
    """What an LLM wrote, and what that cost."""

    text: str
    tokens: int = 0
    """Tokens read and written; 0 where the LLM doesn't say."""


class LlmKind(NamedTuple):
    """How to call one kind of LLM."""

    method: str
    """The name of the method that blocks."""
    async_method: str
    convert_prompt: Callable[[Prompt], Any]
    """Makes what the methods take."""
    read_answer: Callable[[Any], tuple[Any, int]]
    """Gets the text and the tokens out of what the methods return."""


def _unchanged(prompt: Prompt) -> Prompt:
    return prompt


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return prompt.messages


def _read_plain(answer: Any) -> tuple[Any, int]:
    return (answer.text, answer.tokens) if isinstance(answer, Answer) else (answer, 0)


def _read_langchain(answer: Any) -> tuple[Any, int]:
    """Read an AIMessage, or the text that a plain LLM or a chain with an output parser returns."""
    content = getattr(answer, "content", answer)
    if isinstance(content, list):  # content blocks: reasoning, text, tool calls...
        parts = [block if isinstance(block, str) else block.get("text", "") for block in content]
        content = "".join(parts)
    return content, count_tokens(getattr(answer, "usage_metadata", None))


def _read_llama_index(answer: Any) -> tuple[Any, int]:
    """Read a CompletionResponse; the provider's usage is in `raw` or `additional_kwargs`."""
    raw = getattr(answer, "raw", None)
    usage = raw.get("usage") if isinstance(raw, Mapping) else getattr(raw, "usage", None)
    return getattr(answer, "text", answer), count_tokens(usage) or count_tokens(
        getattr(answer, "additional_kwargs", None)
    )


def count_tokens(usage: Any) -> int:
    """Return the tokens read and written, from the usage that a provider reports; 0 where it reports none.

    >>> count_tokens({"prompt_tokens": 40, "completion_tokens": 2}), count_tokens({"total_tokens": "many"})
    (42, 0)
    """
    for names in TOKEN_FIELDS:
        counts = [usage.get(name) if isinstance(usage, Mapping) else getattr(usage, name, None) for name in names]
        if counts[0] is not None:
            return sum(map(as_count, counts))
    return 0


LLM_KINDS = (
    LlmKind("ask", "aask", _unchanged, _read_plain),  # OpenAiEndpoint
    LlmKind("invoke", "ainvoke", _messages, _read_langchain),
    LlmKind("complete", "acomplete", str, _read_llama_index),
    LlmKind("__call__", "__call__", _unchanged, _read_plain),
)
"""Every kind of LLM; the first whose method is there counts. LlamaIndex's `complete` takes a plain text."""


@dataclass(frozen=True, slots=True)
class Chat:
    """An LLM of any kind, with one way to call it."""

    llm: Any
    kind: LlmKind
    name: str
    synchronous: bool
    """Whether `ask` works."""
    asynchronous: bool
    """Whether `aask` works."""

    @classmethod
    def of(cls, llm: Any) -> Chat:
        """Return the Chat of an LLM. Raises InputError for an object that is none."""
        for kind in LLM_KINDS:
            if callable(getattr(llm, kind.method, None)) and not isinstance(llm, type):
                break
        else:
            raise InputError(
                f"llm can't be a {type(llm).__name__}: give a LangChain model (with invoke), a LlamaIndex LLM (with "
                "complete), or a function from a prompt to a text"
            )
        if kind.method != kind.async_method:
            return cls(llm, kind, _name(llm), True, callable(getattr(llm, kind.async_method, None)))
        is_async = inspect.iscoroutinefunction(llm) or inspect.iscoroutinefunction(llm.__call__)
        return cls(llm, kind, _name(llm), not is_async, is_async)

    def ask(self, prompt: Prompt) -> Answer:
        """Return the answer. Raises ScorerError if it is no text, and whatever the LLM raises."""
        return self._read(getattr(self.llm, self.kind.method)(self.kind.convert_prompt(prompt)))

    async def aask(self, prompt: Prompt) -> Answer:
        """Do what `ask` does, without blocking the event loop."""
        return self._read(await getattr(self.llm, self.kind.async_method)(self.kind.convert_prompt(prompt)))

    def _read(self, answer: Any) -> Answer:
        text, tokens = self.kind.read_answer(answer)
        if not isinstance(text, str):
            raise ScorerError(f"{self.name} answered with a {type(text).__name__}, not with a text")
        return Answer(text, tokens)


def _name(llm: Any) -> str:
    """Return the model's name, from where LangChain's, LlamaIndex's and providers' classes have it; else the type's."""
    for owner in (llm, getattr(llm, "metadata", None)):
        for attribute in ("name", "model_name", "model", "__name__"):
            name = getattr(owner, attribute, None)
            if isinstance(name, str) and name and name != "unknown":
                return name
    return type(llm).__name__
