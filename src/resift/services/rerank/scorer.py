"""The scorer of every service and server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from types import TracebackType
from typing import Any, Self

from resift._util.secret import SecretLike, find_key
from resift.errors import InputError, RemoteError
from resift.scorer import Request, Scale, Scores, Usage
from resift.services.http.client import Client
from resift.services.http.exchange import Exchange, Steps, Together
from resift.services.http.reply import UnusableAnswerError
from resift.services.http.retry import Clock, Policy
from resift.services.rerank.address import locate
from resift.services.rerank.answer import ParsedScores, documents_a_request, read
from resift.services.rerank.request import Part, body, parts
from resift.services.rerank.services import SERVICES, Service


class RemoteScorer:
    """Scores with a service or a server that speaks HTTP; `scheme` says which (`resift.services.rerank.services`).

    `name` is a model (`rerank-v3.5`) or a URL (`http://host:8080`, with a model `http://host:8080#MODEL`).
    Documents go in as few requests as the service allows, `parallel_requests` at a time; scores are placed by
    the answer's `index`, and among equal ones the service's order is kept. Requests that fail are sent again up to
    `max_retries` times, as `resift.services.http.retry` has it. `ascore` awaits, without a thread.

    Any thread and any event loop may use it, before and after a fork. `close`, or `with`, gives its connections
    back; it can be used again. Pickles hold no key: they read the environment where they are opened, and a scorer
    whose key was given by hand is not pickled.

    Constructing it sends nothing. Raises InputError: no key, no model or no address, or impossible options. Calls
    raise RemoteError with the service's own message.
    """

    def __init__(
        self,
        scheme: str,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | SecretLike | None = None,
        timeout: float = 60.0,
        total_timeout: float | None = None,
        max_retries: int = 2,
        parallel_requests: int = 4,
        batch_documents: int | None = None,
        scale: Scale | str | None = None,
    ) -> None:
        self._service = service = SERVICES[scheme]
        key = find_key(api_key, service.variables)
        self._address = locate(scheme, service, name, base_url, key)
        if key is None and service.url is not None and self._address.endpoint.startswith(service.url):
            raise InputError(f"{scheme}:{name} needs a key: set {service.variables[0]}, or give api_key=")
        if batch_documents is not None and batch_documents < 1:
            raise InputError(f"batch_documents must be at least 1, got {batch_documents}")
        self._scheme, self._said = scheme, name
        self.name = self._address.name
        self.scale = _scale(service, self._address.model or "", scale)
        policy = Policy(timeout, total_timeout, max_retries, parallel_requests)
        self._exchange = Exchange(self.name, service, key, policy)
        self._client = Client(key, parallel_requests, Clock())
        self._limit = batch_documents
        self._key_by_hand = api_key is not None
        self._recipe: dict[str, Any] = {
            "base_url": base_url,
            "timeout": timeout,
            "total_timeout": total_timeout,
            "max_retries": max_retries,
            "parallel_requests": parallel_requests,
            "batch_documents": batch_documents,
            "scale": scale,
        }

    def __repr__(self) -> str:
        return f"RemoteScorer({self.name!r})"

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """One number per document. No documents, no request."""
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """`score` for many queries, their requests side by side. `total_timeout` is for all of them together."""
        return self._client.run(self._work(requests))

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """`score`, awaited. Cancelling it ends its requests."""
        return (await self._client.arun(self._work([Request(query, documents)])))[0]

    def close(self) -> None:
        """Closes the connections of blocking calls."""
        self._client.close()

    async def aclose(self) -> None:
        """Closes all connections that the running event loop and blocking calls have."""
        await self._client.aclose()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it keeps no state that a copy could spoil, and connections are for sharing

    def __reduce__(self) -> tuple[Any, ...]:
        if self._key_by_hand:
            raise TypeError(
                f"{self.name} has a key that was given by hand, and keys are not pickled: set "
                f"{self._service.variables[0]} instead, which is read again wherever the pickle is opened"
            )
        return (_reopen, (self._scheme, self._said, self._recipe))

    def _work(self, requests: Sequence[Request]) -> Steps[list[Scores]]:
        clock, patience = self._client.clock, self._exchange.policy.total_timeout
        deadline = float("inf") if patience is None else clock.now() + patience
        if not any(documents for _, documents in requests):
            return [Scores(()) for _ in requests]
        limit = yield from self._documents_a_request(deadline)
        size = self._service.bytes
        requested = [
            part
            for number, (query, documents) in enumerate(requests)
            for part in parts(number, query, documents, limit, size)
        ]
        answers = yield Together([self._ask(requests[part.request].query, part.texts, deadline) for part in requested])
        scored: list[list[tuple[Part, ParsedScores]]] = [[] for _ in requests]
        for part, answer in zip(requested, answers, strict=True):
            scored[part.request].append((part, answer))
        return [_gather(pairs) for pairs in scored]

    def _ask(self, query: str, texts: Sequence[str], deadline: float) -> Steps[ParsedScores]:
        spelled = self._service.wire
        sent = body(spelled, self._address.model, query, texts)
        reply = yield from self._exchange.ask(self._address.endpoint, sent, deadline, self._client.clock)
        try:
            return read(spelled, self.scale, reply, len(texts))
        except UnusableAnswerError as error:
            # Not chained: what is quoted there may hold the key.
            raise self._exchange.error(f"{self._service.title} gave {error}", reply.status) from None

    def _documents_a_request(self, deadline: float) -> Steps[int | None]:
        """What the user said, else what the server says, asked once, else what is known of the service."""
        service = self._service
        if self._limit is None and service.info is not None:
            url = self._address.beside(service.info)
            try:
                reply = yield from self._exchange.ask(url, None, deadline, self._client.clock)
                told = documents_a_request(reply)
            except RemoteError as error:
                if error.status not in (404, 405):  # a proxy that lets /rerank through alone
                    raise
                told = None
            self._limit = service.documents if told is None else told
        return self._limit if self._limit is not None else service.documents


def _gather(scored: Sequence[tuple[Part, ParsedScores]]) -> Scores:
    """One query's scores from its requests, which were made in the documents' order."""
    return Scores(
        tuple(score for _, answer in scored for score in answer.scores),
        reduce(add, (answer.usage for _, answer in scored), Usage()),
        order=tuple(part.start + place for part, answer in scored for place in answer.order),
    )


def _scale(service: Service, model: str, said: Scale | str | None) -> Scale:
    if said is None:
        found = (scale for start, scale in service.scales.items() if model.startswith(start))
        return next(found, service.scale)
    try:
        return Scale(said)
    except ValueError:
        raise InputError(f"scale is one of {', '.join(Scale)}, not {said!r}") from None


def _reopen(scheme: str, name: str, options: dict[str, Any]) -> RemoteScorer:
    return RemoteScorer(scheme, name, **options)
