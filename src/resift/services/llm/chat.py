"""One form for every kind of LLM. The frameworks are known by what their objects can do: none is imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from resift.errors import InputError, ScorerError
from resift.services.llm.prompts import Prompt

TOTALS = (
    ("total_tokens",),
    ("prompt_tokens", "completion_tokens"),  # OpenAI and most servers that speak its protocol
    ("input_tokens", "output_tokens"),  # Anthropic
    ("prompt_token_count", "candidates_token_count"),  # Google
)
"""How a call's tokens are reported: the first line whose first key is there counts."""


class Answer(NamedTuple):
    """What an LLM wrote, and the tokens it read and wrote for that; 0 where it doesn't say."""

    text: str
    tokens: int = 0


class Dialect(NamedTuple):
    """How one kind of LLM is asked: its methods, what they take, and how their answer is read."""

    ask: str
    aask: str
    given: Callable[[Prompt], Any]
    read: Callable[[Any], tuple[Any, int]]


def _as_it_is(prompt: Prompt) -> Prompt:
    return prompt


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return prompt.messages


def _read_plain(answer: Any) -> tuple[Any, int]:
    return (answer.text, answer.tokens) if isinstance(answer, Answer) else (answer, 0)


def _read_langchain(answer: Any) -> tuple[Any, int]:
    """An AIMessage, or the text that a plain LLM or a chain with an output parser gives."""
    content = getattr(answer, "content", answer)
    if isinstance(content, list):  # content blocks: reasoning, text, tool calls...
        parts = [block if isinstance(block, str) else block.get("text", "") for block in content]
        content = "".join(parts)
    return content, tokens_of(getattr(answer, "usage_metadata", None))


def _read_llama_index(answer: Any) -> tuple[Any, int]:
    """A CompletionResponse; the provider's own answer, with its usage, is in `raw` or `additional_kwargs`."""
    raw = getattr(answer, "raw", None)
    usage = raw.get("usage") if isinstance(raw, Mapping) else getattr(raw, "usage", None)
    return getattr(answer, "text", answer), tokens_of(usage) or tokens_of(getattr(answer, "additional_kwargs", None))


def tokens_of(usage: Any) -> int:
    """Tokens read and written, from the usage that a provider reports; 0 where it reports none."""
    for keys in TOTALS:
        counts = [usage.get(key) if isinstance(usage, Mapping) else getattr(usage, key, None) for key in keys]
        if counts[0] is not None:
            return sum(int(count or 0) for count in counts)
    return 0


DIALECTS = (
    Dialect("ask", "aask", _as_it_is, _read_plain),  # resift's own endpoint
    Dialect("invoke", "ainvoke", _messages, _read_langchain),
    Dialect("complete", "acomplete", str, _read_llama_index),
    Dialect("__call__", "__call__", _as_it_is, _read_plain),
)
"""Every kind of LLM. Of LlamaIndex's methods `complete` is the one that takes no object of its own."""


@dataclass(frozen=True, slots=True)
class Chat:
    """An LLM that can be asked, whoever made it.

    `synchronous` and `asynchronous` say which of `ask` and `aask` it has; it may have both.
    """

    llm: Any
    dialect: Dialect
    name: str
    synchronous: bool
    asynchronous: bool

    @classmethod
    def of(cls, llm: Any) -> Chat:
        """How to ask this LLM. Raises InputError for what can't be asked."""
        for dialect in DIALECTS:
            if callable(getattr(llm, dialect.ask, None)) and not isinstance(llm, type):
                break
        else:
            raise InputError(
                f"llm is a {type(llm).__name__}: it takes a LangChain model (invoke), a LlamaIndex LLM (complete), or "
                "a function from a prompt to a text"
            )
        if dialect.ask != dialect.aask:
            return cls(llm, dialect, _name(llm), True, callable(getattr(llm, dialect.aask, None)))
        waits = inspect.iscoroutinefunction(llm) or inspect.iscoroutinefunction(llm.__call__)
        return cls(llm, dialect, _name(llm), not waits, waits)

    def ask(self, prompt: Prompt) -> Answer:
        """The answer. Raises ScorerError if it is no text, and whatever the LLM raises."""
        return self._read(getattr(self.llm, self.dialect.ask)(self.dialect.given(prompt)))

    async def aask(self, prompt: Prompt) -> Answer:
        """`ask`, awaited."""
        return self._read(await getattr(self.llm, self.dialect.aask)(self.dialect.given(prompt)))

    def _read(self, answer: Any) -> Answer:
        text, tokens = self.dialect.read(answer)
        if not isinstance(text, str):
            raise ScorerError(f"{self.name} answered with a {type(text).__name__}, not with a text")
        return Answer(text, tokens)


def _name(llm: Any) -> str:
    """The model's name, as LangChain, LlamaIndex and providers' classes have it; else the function's or class's."""
    for owner in (llm, getattr(llm, "metadata", None)):
        for attribute in ("name", "model_name", "model", "__name__"):
            found = getattr(owner, attribute, None)
            if isinstance(found, str) and found and found != "unknown":
                return found
    return type(llm).__name__
