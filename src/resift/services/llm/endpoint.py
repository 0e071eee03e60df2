"""Any endpoint that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama, llama.cpp, LM Studio..."""

from __future__ import annotations

import os
from math import inf
from typing import Any

from resift._util.secret import SecretLike, find_key
from resift.errors import InputError
from resift.services.http.client import Client
from resift.services.http.provider import Provider
from resift.services.http.requester import Requester
from resift.services.http.response import error_message, parse_json
from resift.services.http.retry import Clock, RetryPolicy
from resift.services.http.steps import Steps
from resift.services.http.url import check_url
from resift.services.llm.chat import Answer, count_tokens
from resift.services.llm.prompts import Prompt
from resift.services.llm.scorer import LlmScorer, Method

OPENAI_URL = "https://api.openai.com/v1"
URL_VARIABLE = "OPENAI_BASE_URL"
"""The environment variable that OpenAI's own client reads, too."""
PROVIDER = Provider(title="the server", key_variables=("OPENAI_API_KEY",))
MAX_RETRIES = 2


class OpenAiEndpoint:
    """A language model behind an endpoint that speaks OpenAI's chat completions.

    Connections, retries, keys and errors are those of `resift.services`. A pickle holds no key: it reads
    OPENAI_API_KEY where it is opened, and an endpoint whose key was given as `api_key` can't be pickled.

    Args:
        model: The model's name, as the endpoint knows it.
        base_url: Where the endpoint is: requests go to BASE_URL/chat/completions. Default: OPENAI_BASE_URL, else
            OpenAI.
        api_key: The key. Default: OPENAI_API_KEY. "" sends none.
        timeout: Seconds that one request may take, to the last byte of its response.
        temperature: Sent with every request. None leaves it to the model: some refuse any but their own.

    Raises:
        InputError: No model, no key for OpenAI, a URL that can't be used, or a timeout that is not above 0.
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
        base = check_url(base_url or os.environ.get(URL_VARIABLE) or OPENAI_URL)
        key = None if api_key == "" else find_key(api_key, PROVIDER.key_variables)
        if key is None and base == OPENAI_URL:
            raise InputError(
                f"{self.name} needs a key: set {PROVIDER.key_variables[0]}, or give api_key=, or the base_url= of your "
                "own server"
            )
        self._url = f"{base}/chat/completions"
        policy = RetryPolicy(timeout, None, MAX_RETRIES, parallel_requests=1)
        self._requester = Requester(self.name, PROVIDER, key, policy)
        self._client = Client(key, 1, Clock())
        self._arguments = (model, base_url, key if api_key else api_key, timeout, temperature)

    def __repr__(self) -> str:
        return f"OpenAiEndpoint({self.model!r}, {self._url!r})"

    def ask(self, prompt: Prompt) -> Answer:
        """Return the model's answer.

        Args:
            prompt: Sent as a system and a user message.

        Returns:
            The text of the first choice, and the tokens that the endpoint says were read and written.

        Raises:
            RemoteError: The endpoint failed, refused, or sent no chat completion; the message is its own.
        """
        return self._client.run(self._work(prompt))

    async def aask(self, prompt: Prompt) -> Answer:
        """Do what `ask` does, without a thread."""
        return await self._client.arun(self._work(prompt))

    def _work(self, prompt: Prompt) -> Steps[Answer]:
        body: dict[str, Any] = {"model": self.model, "messages": prompt.messages}
        if self.temperature is not None:
            body["temperature"] = self.temperature
        response = yield from self._requester.request(self._url, body, inf, self._client.clock)
        try:
            completion = parse_json(response)
            text = completion["choices"][0]["message"]["content"] or ""
            tokens = count_tokens(completion.get("usage"))
        except (ValueError, LookupError, TypeError, AttributeError):
            # Not chained: what is quoted there may hold the key.
            message = f"no chat completion came back, but {error_message(response)}"
            raise self._requester.error(message, response.status) from None
        if not isinstance(text, str):
            raise self._requester.error(f"answered with a {type(text).__name__}, not with a text", response.status)
        return Answer(text, tokens)

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenAiEndpoint:
        return self  # nothing in it changes between calls, and connections can be shared

    def __reduce__(self) -> tuple[Any, ...]:
        return (OpenAiEndpoint, self._arguments)


def openai_scorer(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | SecretLike | None = None,
    timeout: float = 60.0,
    temperature: float | None = 0.0,
    method: Method = "listwise",
    instruction: str | None = None,
) -> LlmScorer:
    """Return what `Reranker("openai:MODEL", ...)` stands for; an `LlmScorer` of your own takes further options."""
    return LlmScorer(
        OpenAiEndpoint(model, base_url, api_key, timeout, temperature), method=method, instruction=instruction
    )
