"""Any endpoint that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio..."""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from resift.errors import InputError, MissingExtraError, ScorerError
from resift.llm.chat import Answer, tokens_of
from resift.llm.prompts import Prompt
from resift.llm.scorer import LlmScorer, Method, OnBadAnswer

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("an OpenAI-compatible endpoint", "remote") from error

OPENAI = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
RETRIES = 2
RETRIED = (408, 409, 429, 500, 502, 503, 504)
LONGEST_PAUSE = 30.0  # seconds; a server that asks for more is busy for longer than a reranking can wait


class Secret(Protocol):
    """A key that doesn't show itself, such as pydantic's SecretStr."""

    def get_secret_value(self) -> str:
        """The key."""


@dataclass(frozen=True, slots=True)
class OpenAiEndpoint:
    """A model behind `base_url`, asked through POST /chat/completions.

    `api_key` is taken from OPENAI_API_KEY unless given; "" sends none. `timeout`: seconds to wait for a connection,
    and for an answer. `temperature=None` leaves it to the model (some refuse any but their own). A connection that
    breaks, a server error, 408, 409 and 429 are tried again twice, after the pause the server wants.

    A pickled copy leaves the key behind, and takes OPENAI_API_KEY where it wakes up.
    """

    model: str
    base_url: str = OPENAI
    api_key: str | Secret | None = field(default=None, repr=False)
    timeout: float = 60.0
    temperature: float | None = 0.0

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("openai: needs the name of a model, as in openai:gpt-4o-mini")
        if not self.base_url.startswith(("http://", "https://")):
            raise InputError(f"base_url starts with http:// or https://, unlike {self.base_url!r}")
        if self.timeout <= 0:
            raise InputError(f"timeout must be more than 0 seconds, got {self.timeout}")
        if not self._key() and self.base_url == OPENAI:
            raise InputError(
                f"{self.name} needs a key: set {KEY}, or give api_key=, or the base_url= of your own server"
            )

    @property
    def name(self) -> str:
        """As `Reranker` takes it."""
        return f"openai:{self.model}"

    def ask(self, prompt: Prompt) -> Answer:
        """The model's answer. Raises ScorerError, with the server's own words, when there is none."""
        with httpx.Client(timeout=self.timeout) as client:
            for attempt in count():
                try:
                    reply = self._read(client.send(self._request(client, prompt)), attempt)
                except httpx.TransportError as error:
                    reply = self._broken(error, attempt)
                if isinstance(reply, Answer):
                    return reply
                time.sleep(reply)
        raise AssertionError("unreachable: attempts end with an answer or an error")

    async def aask(self, prompt: Prompt) -> Answer:
        """`ask`, awaited."""
        async with httpx.AsyncClient(timeout=self.timeout) as client:
            for attempt in count():
                try:
                    reply = self._read(await client.send(self._request(client, prompt)), attempt)
                except httpx.TransportError as error:
                    reply = self._broken(error, attempt)
                if isinstance(reply, Answer):
                    return reply
                await asyncio.sleep(reply)
        raise AssertionError("unreachable: attempts end with an answer or an error")

    def _key(self) -> str:
        given = os.environ.get(KEY, "") if self.api_key is None else self.api_key
        key = (given if isinstance(given, str) else given.get_secret_value()).strip()
        if not (key.isascii() and key.isprintable()):  # a header can't carry it, and the error would show it
            raise InputError("the api_key holds characters that no key has (line breaks, quotes from a text editor...)")
        return key

    def _request(self, client: httpx.Client | httpx.AsyncClient, prompt: Prompt) -> httpx.Request:
        body: dict[str, Any] = {"model": self.model, "messages": prompt.messages}
        if self.temperature is not None:
            body["temperature"] = self.temperature
        key = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client.build_request("POST", f"{self.base_url.rstrip('/')}/chat/completions", json=body, headers=headers)

    def _read(self, response: httpx.Response, attempt: int) -> Answer | float:
        """The answer, or the seconds to wait before the next attempt."""
        if response.status_code in RETRIED and attempt < RETRIES:
            pause = _pause(response.headers.get("retry-after"), attempt)
            if pause <= LONGEST_PAUSE:
                return pause
        if response.status_code != httpx.codes.OK:
            raise ScorerError(f"{self.name}: the server answered {response.status_code}: {self._message(response)}")
        try:
            body = response.json()
            return Answer(body["choices"][0]["message"]["content"] or "", tokens_of(body.get("usage")))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ScorerError(f"{self.name}: no chat completion came back, but {self._message(response)}") from error

    def _broken(self, error: httpx.TransportError, attempt: int) -> float:
        if isinstance(error, httpx.TimeoutException):
            raise ScorerError(f"{self.name}: no answer within timeout={self.timeout} seconds") from error
        if attempt >= RETRIES:
            raise ScorerError(f"{self.name}: {attempt + 1} connections failed: {error}") from error
        return _pause(None, attempt)

    def _message(self, response: httpx.Response) -> str:
        """The server's own words, without the key, should they repeat it."""
        try:
            body = response.json()
        except ValueError:
            body = None
        found = body.get("error", body) if isinstance(body, dict) else None
        message = found.get("message") if isinstance(found, dict) else found
        words = message if isinstance(message, str) else response.text
        key = self._key()
        return repr((words.replace(key, "***") if key else words)[:300])

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenAiEndpoint:
        return self

    def __reduce__(self) -> tuple[type[OpenAiEndpoint], tuple[Any, ...]]:
        return (OpenAiEndpoint, (self.model, self.base_url, None, self.timeout, self.temperature))


def openai_scorer(
    model: str,
    *,
    base_url: str = OPENAI,
    api_key: str | Secret | None = None,
    timeout: float = 60.0,
    temperature: float | None = 0.0,
    method: Method = "listwise",
    window: int = 20,
    stride: int = 10,
    on_bad_answer: OnBadAnswer = "repair",
    max_characters: int = 2000,
) -> LlmScorer:
    """What `Reranker("openai:MODEL", ...)` stands for: an `LlmScorer` over an `OpenAiEndpoint`, with their options."""
    return LlmScorer(
        OpenAiEndpoint(model, base_url, api_key, timeout, temperature),
        method=method,
        window=window,
        stride=stride,
        on_bad_answer=on_bad_answer,
        max_characters=max_characters,
    )


def _pause(asked: str | None, attempt: int) -> float:
    """Seconds before the next attempt: what Retry-After says, where it says a number, else half a second doubled."""
    try:
        return max(0.0, float(asked or ""))
    except ValueError:  # nothing, or a date
        return math.ldexp(0.5, attempt)
