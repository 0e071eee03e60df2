"""Any endpoint that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio..."""

from __future__ import annotations

import os
from math import inf
from typing import Any

from resift._util.secret import SecretLike, find_key
from resift.errors import InputError
from resift.services.http.client import Client
from resift.services.http.exchange import Exchange, Steps
from resift.services.http.provider import Provider
from resift.services.http.reply import complaint, encoded, parse
from resift.services.http.retry import Clock, Policy
from resift.services.http.url import checked
from resift.services.llm.chat import Answer, tokens_of
from resift.services.llm.prompts import Prompt
from resift.services.llm.scorer import LlmScorer, Method

OPENAI = "https://api.openai.com/v1"
URL = "OPENAI_BASE_URL"
"""An environment variable, as OpenAI's own client has it."""
PROVIDER = Provider(title="the server", variables=("OPENAI_API_KEY",))
RETRIES = 2


class OpenAiEndpoint:
    """A model behind `base_url`, asked through POST /chat/completions.

    `base_url` is OPENAI_BASE_URL or OpenAI unless given; `api_key` is OPENAI_API_KEY unless given, and "" sends none.
    `timeout`: seconds that one request may take. `temperature=None` leaves it to the model (some refuse any but their
    own). Connections, retries, keys and errors are those of `resift.services`: a pickled copy takes OPENAI_API_KEY
    where it wakes up, and one whose key was given by hand is not pickled.

    Raises InputError for what makes no sense. Calls raise RemoteError with the server's own words.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | SecretLike | None = None,
        timeout: float = 60.0,
        temperature: float | None = 0.0,
    ) -> None:
        if not model:
            raise InputError("openai: needs the name of a model, as in openai:gpt-4o-mini")
        self.model, self.temperature = model, temperature
        self.name = f"openai:{model}"
        base = checked(base_url or os.environ.get(URL) or OPENAI)
        key = None if api_key == "" else find_key(api_key, PROVIDER.variables)
        if key is None and base == OPENAI:
            raise InputError(
                f"{self.name} needs a key: set {PROVIDER.variables[0]}, or give api_key=, or the base_url= of your "
                "own server"
            )
        self._url = f"{base}/chat/completions"
        self._exchange = Exchange(self.name, PROVIDER, key, Policy(timeout, None, RETRIES, parallel_requests=1))
        self._client = Client(key, 1, Clock())
        self._recipe = (model, base_url, key if api_key else api_key, timeout, temperature)

    def __repr__(self) -> str:
        return f"OpenAiEndpoint({self.model!r}, {self._url!r})"

    def ask(self, prompt: Prompt) -> Answer:
        """The model's answer."""
        return self._client.run(self._work(prompt))

    async def aask(self, prompt: Prompt) -> Answer:
        """`ask`, awaited."""
        return await self._client.arun(self._work(prompt))

    def _work(self, prompt: Prompt) -> Steps[Answer]:
        asked: dict[str, Any] = {"model": self.model, "messages": prompt.messages}
        if self.temperature is not None:
            asked["temperature"] = self.temperature
        reply = yield from self._exchange.ask(self._url, encoded(asked), inf, self._client.clock)
        try:
            answer = parse(reply)
            return Answer(answer["choices"][0]["message"]["content"] or "", tokens_of(answer.get("usage")))
        except (ValueError, LookupError, TypeError, AttributeError):
            # Not chained: what is quoted there may hold the key.
            text = f"no chat completion came back, but {complaint(reply)}"
            raise self._exchange.error(text, reply.status) from None

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenAiEndpoint:
        return self  # it keeps no state that a copy could spoil, and connections are for sharing

    def __reduce__(self) -> tuple[Any, ...]:
        return (OpenAiEndpoint, self._recipe)


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
