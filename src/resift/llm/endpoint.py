"""Any endpoint that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio..."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from resift.errors import InputError, MissingExtraError, ScorerError
from resift.llm.chat import Answer, tokens_of
from resift.llm.prompts import Prompt
from resift.llm.scorer import LlmScorer, Method
from resift.secret import SecretLike

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("an OpenAI-compatible endpoint", "remote") from error

OPENAI = "https://api.openai.com/v1"
KEY, URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
"""Environment variables, as OpenAI's own client has them."""
RETRIES = 2
RETRIED = (408, 409, 429, 500, 502, 503, 504)
FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 30.0  # seconds; a server that asks for more is busy for longer than a reranking can wait


@dataclass(frozen=True, slots=True)
class OpenAiEndpoint:
    """A model behind `base_url`, asked through POST /chat/completions.

    `base_url` is OPENAI_BASE_URL or OpenAI unless given; `api_key` is OPENAI_API_KEY unless given, and "" sends none.
    `timeout`: seconds to wait for a connection, and for an answer. `temperature=None` leaves it to the model (some
    refuse any but their own). A connection that breaks, a server error, 408, 409 and 429 are tried again twice,
    after the pause the server wants.

    A pickled copy leaves the key behind, and takes OPENAI_API_KEY where it wakes up.
    """

    model: str
    base_url: str | None = None
    api_key: str | SecretLike | None = field(default=None, repr=False)
    timeout: float = 60.0
    temperature: float | None = 0.0

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("openai: needs the name of a model, as in openai:gpt-4o-mini")
        if not self._url().startswith(("http://", "https://")):
            raise InputError(f"base_url starts with http:// or https://, unlike {self._url()!r}")
        if self.timeout <= 0:
            raise InputError(f"timeout must be more than 0 seconds, got {self.timeout}")
        if not self._key() and self._url() == OPENAI:
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

    def _url(self) -> str:
        return (self.base_url or os.environ.get(URL) or OPENAI).rstrip("/")

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
        return client.build_request("POST", f"{self._url()}/chat/completions", json=body, headers=headers)

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
    base_url: str | None = None,
    api_key: str | SecretLike | None = None,
    timeout: float = 60.0,
    temperature: float | None = 0.0,
    method: Method = "listwise",
) -> LlmScorer:
    """What `Reranker("openai:MODEL", ...)` stands for; an `LlmScorer` of your own takes further options."""
    return LlmScorer(OpenAiEndpoint(model, base_url, api_key, timeout, temperature), method=method)


def _pause(asked: str | None, attempt: int) -> float:
    """Seconds before the next attempt: what Retry-After says, if that is a number, else a little longer each time."""
    try:
        return max(0.0, float(asked or ""))
    except ValueError:  # nothing, or a date
        return FIRST_PAUSE * (attempt + 1)
