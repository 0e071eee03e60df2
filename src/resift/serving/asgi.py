"""The service over HTTP: an ASGI application for any server. `resift serve` runs it on uvicorn, and
`resift.serving.ray_serve` on Ray Serve.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from resift._util.secret import ApiKey
from resift.errors import InputError, MissingExtraError, OverloadedError, ScorerError
from resift.scorer import Scores
from resift.serving.api_shapes import SHAPES, ApiShape, ErrorKind, HasTexts, RefusedError, ScoredRequest
from resift.serving.body import parse, read_body
from resift.serving.front_page import as_html, front_page
from resift.serving.in_flight import InFlight
from resift.serving.limits import MAX_BODY, MAX_DOCUMENTS, UPLOAD_SECONDS
from resift.serving.metrics import ServiceMetrics
from resift.serving.openapi import openapi
from resift.serving.service import BusyError, RerankService

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("the rerank service", "serve") from error

TIMEOUT_HEADER = "x-request-timeout"
STOPPING_RETRY = 1  # second after which another one of the service may answer
BODY_UNREAD = {ErrorKind.UNAUTHORIZED, ErrorKind.TOO_LARGE, ErrorKind.SLOW, ErrorKind.UNAVAILABLE}
"""Refused before the body was read, or not all of it."""
CLIENT_GONE = 499  # nginx's status for it; nobody receives it


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What a service accepts."""

    max_documents: int = MAX_DOCUMENTS
    """Documents that one request may hold. More are refused, and `/info` tells the number."""
    max_body: int = MAX_BODY
    """Bytes that the body of one request may have."""
    api_key: ApiKey | None = None
    """The key that requests must send as `Authorization: Bearer KEY`. None: they need none."""
    model_names: tuple[str, ...] = ()
    """The names of the model that requests may give. Empty: any, since clients send the name of what they replace."""
    upload_seconds: float = UPLOAD_SECONDS
    """How long a client may take to send the body of a request."""


def application(service: RerankService, options: ServiceOptions | None = None) -> Starlette:
    """Return the service as an ASGI application.

    POST /v2/rerank, /v1/rerank and /rerank; GET /v1/models, /info, /health, /metrics and /openapi.json; GET / and
    /docs, which say what this is. All but /health, / and /docs need the key, if there is one.

    Args:
        service: What scores the requests.
        options: What it accepts. None: the defaults.

    Returns:
        An application for any ASGI server. It keeps no state but the service's, its metrics and
        `app.state.in_flight`, an `InFlight`: where its `stopping` is set, new requests get 503.
    """
    options = options or ServiceOptions()
    in_flight, metrics = InFlight(), ServiceMetrics()
    names = options.model_names or (service.scorer.name,)
    started = int(time.time())

    def page(make: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if not _has_key(request, options.api_key):
                return JSONResponse({"error": KEY_NEEDED}, 401, {"WWW-Authenticate": "Bearer"})
            return make(request)

        return answer

    def show_metrics(request: Request) -> Response:
        content, content_type = metrics.page(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": content_type})

    async def health(_: Request) -> Response:
        return Response(status_code=503 if in_flight.stopping else 200)

    async def show_front(request: Request) -> Response:
        page = front_page(service.scorer.name if options.api_key is None else None)
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(as_html(page))
        return JSONResponse(page)

    models = [{"id": name, "object": "model", "created": started, "owned_by": "resift"} for name in names]
    pages: dict[str, Callable[[Request], Response]] = {
        "/v1/models": lambda _: JSONResponse({"object": "list", "data": models}),
        "/info": lambda _: JSONResponse(_info(service, options.max_documents)),
        "/metrics": show_metrics,
        "/openapi.json": lambda _: JSONResponse(openapi(options.api_key is not None)),
    }
    routes = [
        *(
            Route(shape.path, _Endpoint(shape, service, options, metrics, in_flight).answer, methods=["POST"])
            for shape in SHAPES
        ),
        *(Route(path, page(make)) for path, make in pages.items()),
        Route("/health", health),
        *(Route(path, show_front) for path in ("/", "/docs")),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    app.state.in_flight = in_flight
    return app


KEY_NEEDED = "this service needs its key: send it as `Authorization: Bearer KEY`"


class _Endpoint:
    """One route: its requests are checked, scored, answered and counted."""

    def __init__(
        self,
        shape: ApiShape,
        service: RerankService,
        options: ServiceOptions,
        metrics: ServiceMetrics,
        in_flight: InFlight,
    ) -> None:
        self._shape = shape
        self._service = service
        self._options = options
        self._metrics = metrics
        self._in_flight = in_flight

    async def answer(self, request: Request) -> Response:
        """Return the response to a request, whatever happens."""
        started = time.perf_counter()
        self._metrics.count_arrival(self._service.queue.waiting_tokens)
        with self._in_flight, self._metrics.in_flight.track_inprogress():
            try:
                response, outcome = await self._respond(request), "ok"
            except (RefusedError, InputError, ScorerError, OverloadedError) as caught:
                error = _refused_error(caught)
                response, outcome = self._error_response(error), error.kind.name.lower()
            except ClientDisconnect:
                response, outcome = Response(status_code=CLIENT_GONE), "client_gone"
            except asyncio.CancelledError:
                if not self._in_flight.stopping:  # whoever cancels it then doesn't end the service
                    raise
                error = RefusedError(
                    ErrorKind.UNAVAILABLE, "the service stopped before this was scored", STOPPING_RETRY
                )
                response, outcome = self._error_response(error), error.kind.name.lower()
        self._metrics.count_answer(self._shape.path, outcome, time.perf_counter() - started)
        return response

    async def _respond(self, request: Request) -> Response:
        if not _has_key(request, self._options.api_key):
            raise RefusedError(ErrorKind.UNAUTHORIZED, KEY_NEEDED)
        if self._in_flight.stopping:
            raise RefusedError(ErrorKind.UNAVAILABLE, "the service is stopping; ask another one", STOPPING_RETRY)
        timeout = _timeout(request)
        body = await read_body(request, self._options.max_body, self._options.upload_seconds)
        shape, parsed = parse(self._shape, body)
        self._check(parsed)
        scores = await self._score(request, parsed, timeout)
        scorer = self._service.scorer
        result = ScoredRequest(scorer.name, scores.scale or scorer.scale, scores, self._service.max_length)
        self._metrics.count_scores(scores, result.truncated)
        return JSONResponse(shape.response(parsed, result))

    def _check(self, request: HasTexts) -> None:
        if not request.texts:
            raise RefusedError(ErrorKind.EMPTY, "`texts` cannot be empty")
        if len(request.texts) > self._options.max_documents:
            raise RefusedError(
                ErrorKind.INVALID,
                f"{len(request.texts)} documents are more than the {self._options.max_documents} of a request; "
                "see /info",
            )
        names = self._options.model_names
        if names and request.model is not None and request.model not in names:
            raise RefusedError(
                ErrorKind.UNKNOWN_MODEL, f"there is no model {request.model[:100]!r} here, only {', '.join(names)}"
            )

    async def _score(self, request: Request, parsed: HasTexts, timeout: float | None) -> Scores:  # noqa: ASYNC109 - not ours: the client's
        """Return the scores, unless the client's time is over or the client is gone: then the work is dropped."""
        scoring = asyncio.create_task(self._service.score(parsed.query, parsed.texts))
        gone = asyncio.create_task(_wait_until_gone(request))
        try:
            await asyncio.wait((scoring, gone), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if scoring.done():
                return scoring.result()
            if gone.done():
                raise ClientDisconnect
            raise RefusedError(ErrorKind.TIMEOUT, f"not scored within the {timeout:g} s of {TIMEOUT_HEADER}")
        finally:
            scoring.cancel()
            gone.cancel()
            await asyncio.gather(scoring, gone, return_exceptions=True)

    def _error_response(self, error: RefusedError) -> Response:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        if error.kind in BODY_UNREAD:
            headers["Connection"] = "close"  # else the rest of the body would be waited for
        if error.kind is ErrorKind.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        body = self._shape.error(error.kind, str(error))
        return JSONResponse(body, status_code=self._shape.statuses[error.kind], headers=headers)


async def _no_route(request: Request, error: Exception) -> Response:
    """Return what an unknown path, or another method than a route takes, is answered: in the route's format."""
    assert isinstance(error, HTTPException)  # noqa: S101 - starlette calls it for these alone
    path, headers = request.url.path, dict(error.headers or {})
    if error.status_code == 405:
        message = f"{path} takes {headers['Allow']}, not {request.method}"
    else:
        message = f"there is no {path[:100]} here; / lists the routes"
    shape = next((shape for shape in SHAPES if shape.path == path), None)
    body = {"error": message} if shape is None else shape.error(ErrorKind.INVALID, message)
    return JSONResponse(body, error.status_code, headers)


async def _wait_until_gone(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _has_key(request: Request, key: ApiKey | None) -> bool:
    if key is None:
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), key.get_secret_value().encode())  # takes as long for any key
    return same and scheme.lower() == "bearer"


def _timeout(request: Request) -> float | None:
    """Return how many seconds the client waits, as it says; None if it doesn't say."""
    given = request.headers.get(TIMEOUT_HEADER)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise RefusedError(ErrorKind.INVALID, f"{TIMEOUT_HEADER} is a number of seconds above 0, not {given[:100]!r}")
    return seconds


def _refused_error(error: Exception) -> RefusedError:
    """Return the error for the caller. Its message names what failed, and quotes no texts."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, BusyError):
        return RefusedError(ErrorKind.OVERLOADED, f"overloaded: {error}", error.retry_after)
    if isinstance(error, InputError):
        return RefusedError(ErrorKind.INVALID, str(error))
    return RefusedError(ErrorKind.FAILED, str(error))


def _info(service: RerankService, max_documents: int) -> dict[str, Any]:
    """Return the fields of text-embeddings-inference's `/info` that apply here."""
    return {
        "model_id": service.scorer.name,
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_input_length": service.max_length,
        "max_batch_tokens": service.batch_tokens,
        "max_client_batch_size": max_documents,
        "auto_truncate": True,
        "version": version("resift"),
    }
