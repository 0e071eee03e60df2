"""The scorer of every rerank service and server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from types import TracebackType
from typing import Any, Self

from resift._util.secret import SecretLike, find_key
from resift.errors import InputError, RemoteError
from resift.scorer import Request, Scale, Scores, Usage, check_instruction, no_instruction
from resift.services.http.client import Client
from resift.services.http.requester import Requester
from resift.services.http.response import UnusableResponseError
from resift.services.http.retry import Clock, RetryPolicy
from resift.services.http.steps import Parallel, Steps
from resift.services.rerank.address import find_address
from resift.services.rerank.blank import add_blanks, filled_indices
from resift.services.rerank.known_services import SERVICES, Service
from resift.services.rerank.request import DocumentSlice, instruct, request_body, split_documents
from resift.services.rerank.response import ParsedScores, parse_document_limit, parse_response
from resift.text.half_pairs import replace_half_pairs


class RemoteScorer:
    """Scores with a rerank service or a server that speaks HTTP.

    Documents go in as few requests as the service allows. Scores are matched to documents by the `index` of each
    result; of equal scores, the one that the service put first stays first. Blank texts are not sent and score lowest
    (`resift.services.rerank.blank`). Failed requests are sent again as
    `resift.services.http.retry` says.

    Any thread and any event loop may use it, before and after a fork. `close`, or `with`, closes its connections; it
    can be used again. Constructing it sends nothing. A pickle holds no key: it reads the environment where it is
    opened, and a scorer whose key was given as `api_key` can't be pickled.

    Args:
        scheme: Which service: a key of `resift.services.rerank.known_services.SERVICES`, such as `cohere` or `tei`.
        name: A model (`rerank-v3.5`) or a URL (`http://host:8080`, with a model `http://host:8080#MODEL`).
        base_url: Where the server is, for a name that is a model. Default: the service's own address.
        api_key: The key. Default: the first of the service's environment variables that is set.
        timeout: Seconds that one request may take, to the last byte of its response.
        total_timeout: Seconds that one call may take with all its requests, retries and waits. None: no limit.
        max_retries: How often a failed request is sent again.
        parallel_requests: Requests of one call that run at the same time, at most.
        batch_documents: Documents in one request. Default: what the server says of itself, else what is known of the
            service.
        scale: What the scores mean, where you know better than `SERVICES` does.
        instruction: What makes a document relevant, in words, for a model that reads it: see `Service.instructions`.

    Raises:
        InputError: No key, no model, no address, or an option that makes no sense.
        MissingExtraError: httpx is not installed.
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
        instruction: str | None = None,
    ) -> None:
        self._service = service = SERVICES[scheme]
        key = find_key(api_key, service.key_variables)
        self._address = find_address(scheme, service, name, base_url, key)
        if key is None and service.url is not None and self._address.endpoint.startswith(service.url):
            raise InputError(f"{scheme}:{name} needs a key: set {service.key_variables[0]}, or give api_key=")
        if batch_documents is not None and batch_documents < 1:
            raise InputError(f"batch_documents must be at least 1, got {batch_documents}")
        self._scheme, self._given_name = scheme, name
        self.name = self._address.name
        self.scale = _scale(service, self._address.model or "", scale)
        policy = RetryPolicy(timeout, total_timeout, max_retries, parallel_requests)
        self._requester = Requester(self.name, service, key, policy)
        self._client = Client(key, parallel_requests, Clock())
        self._max_documents = batch_documents
        self._key_was_given = api_key is not None
        self._options: dict[str, Any] = {
            "base_url": base_url,
            "timeout": timeout,
            "total_timeout": total_timeout,
            "max_retries": max_retries,
            "parallel_requests": parallel_requests,
            "batch_documents": batch_documents,
            "scale": scale,
            "instruction": instruction,
        }
        model = self._address.model or ""
        places = (place for start, place in service.instructions.items() if model.startswith(start))
        self._instruction_place = next(places, None)
        self._instruction = None if instruction is None else self._check_instruction(instruction)

    def with_instruction(self, instruction: str) -> Self:
        """Return the same service with an instruction, over the same connections.

        Raises InputError for a model that reads none.
        """
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, _instruction=self._check_instruction(instruction))
        copy._options = {**self._options, "instruction": instruction}
        return copy

    def _check_instruction(self, instruction: str) -> str:
        if self._instruction_place is None:
            raise no_instruction(self.name, f"the API of {self._service.title} has no place for one")
        return replace_half_pairs(check_instruction(instruction))

    def __repr__(self) -> str:
        return f"RemoteScorer({self.name!r})"

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """Score the documents of one query, in as few requests as the service allows.

        Args:
            query: The query.
            documents: Their texts. Without documents, or with blank ones only, no request is sent.

        Returns:
            One score per document, in their order, with what the service says it cost.

        Raises:
            RemoteError: The service failed, refused, or sent an unusable response; the message is the service's own.
        """
        return self.score_many([Request(query, documents)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Score many queries, their requests at the same time. `total_timeout` is for all of them together."""
        return self._client.run(self._work(requests))

    async def ascore(self, query: str, documents: Sequence[str]) -> Scores:
        """Do what `score` does, without a thread. Cancelling it ends its requests."""
        return (await self._client.arun(self._work([Request(query, documents)])))[0]

    def close(self) -> None:
        """Close the connections of blocking calls."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop and of blocking calls."""
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
        return self  # nothing in it changes between calls, and connections can be shared

    def __reduce__(self) -> tuple[Any, ...]:
        if self._key_was_given:
            raise TypeError(
                f"{self.name} has a key that was given by hand, and keys are not pickled: set "
                f"{self._service.key_variables[0]} instead, which is read again wherever the pickle is opened"
            )
        return (_reopen, (self._scheme, self._given_name, self._options))

    def _work(self, requests: Sequence[Request]) -> Steps[list[Scores]]:
        clock, seconds = self._client.clock, self._requester.policy.total_timeout
        deadline = float("inf") if seconds is None else clock.now() + seconds
        filled = [filled_indices(documents) for _, documents in requests]
        slices: list[DocumentSlice] = []
        if any(filled):
            max_documents = yield from self._find_max_documents(deadline)
            for query_index, ((query, documents), indices) in enumerate(zip(requests, filled, strict=True)):
                query, _ = instruct(self._instruction_place, self._instruction, query)
                texts = [documents[index] for index in indices]
                slices += split_documents(query_index, query, texts, max_documents, self._service.max_bytes)
        generators = [self._score_slice(requests[piece.query_index].query, piece.texts, deadline) for piece in slices]
        parsed = (yield Parallel(generators)) if generators else []
        by_query: list[list[tuple[DocumentSlice, ParsedScores]]] = [[] for _ in requests]
        for piece, scores in zip(slices, parsed, strict=True):
            by_query[piece.query_index].append((piece, scores))
        return [
            add_blanks(_join_slices(pairs), indices, len(documents), self.scale)
            for pairs, indices, (_, documents) in zip(by_query, filled, requests, strict=True)
        ]

    def _score_slice(self, query: str, texts: Sequence[str], deadline: float) -> Steps[ParsedScores]:
        request_format = self._service.request_format
        query, fields = instruct(self._instruction_place, self._instruction, query)
        body = request_body(request_format, self._address.model, query, texts) | fields
        response = yield from self._requester.request(self._address.endpoint, body, deadline, self._client.clock)
        try:
            return parse_response(request_format, self.scale, response, len(texts))
        except UnusableResponseError as error:
            # Not chained: what is quoted there may hold the key.
            raise self._requester.error(f"{self._service.title} gave {error}", response.status) from None

    def _find_max_documents(self, deadline: float) -> Steps[int | None]:
        """Return how many documents a request may hold: `batch_documents`, else the server's own limit, else ours.

        The server is asked once, with the first call.
        """
        service = self._service
        if self._max_documents is None and service.info_path is not None:
            url = self._address.sibling_url(service.info_path)
            try:
                response = yield from self._requester.request(url, None, deadline, self._client.clock)
                server_limit = parse_document_limit(response)
            except RemoteError as error:
                if error.status not in (404, 405):  # a proxy that lets only /rerank through
                    raise
                server_limit = None
            self._max_documents = service.max_documents if server_limit is None else server_limit
        return self._max_documents if self._max_documents is not None else service.max_documents


def _join_slices(pairs: Sequence[tuple[DocumentSlice, ParsedScores]]) -> Scores:
    """Return the scores of one query's documents that were sent, from its slices, which are in the documents' order."""
    return Scores(
        tuple(score for _, parsed in pairs for score in parsed.scores),
        reduce(add, (parsed.usage for _, parsed in pairs), Usage()),
        order=tuple(piece.start + index for piece, parsed in pairs for index in parsed.order),
    )


def _scale(service: Service, model: str, given: Scale | str | None) -> Scale:
    """Return the scale that was given, else the model's, else the service's."""
    if given is None:
        scales = (scale for prefix, scale in service.model_scales.items() if model.startswith(prefix))
        return next(scales, service.scale)
    try:
        return Scale(given)
    except ValueError:
        raise InputError(f"scale is one of {', '.join(Scale)}, not {given!r}") from None


def _reopen(scheme: str, name: str, options: dict[str, Any]) -> RemoteScorer:
    return RemoteScorer(scheme, name, **options)
