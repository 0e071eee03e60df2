"""The service over HTTP: an ASGI application for any server. `resift.serving.ray_serve` runs it on Ray Serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, cast

from resift.errors import InputError, MissingExtraError, OverloadedError, ScorerError
from resift.serving.service import BusyError, RerankService
from resift.serving.shapes import SHAPES, ApiShape, ErrorKind, HasTexts, RefusedError, ScoredRequest

try:
    from pydantic import ValidationError
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("the rerank service", "scale") from error

PROBLEMS_SHOWN = 5  # of a request, in an error


def application(service: RerankService, *, max_documents: int, max_body: int) -> Starlette:
    """Return the service as an ASGI application: POST /v2/rerank, /v1/rerank and /rerank, GET /info and /health.

    Args:
        service: What scores the requests.
        max_documents: Documents that one request may hold. More are refused, and `/info` tells the number.
        max_body: Bytes that the body of one request may have.

    Returns:
        An application for any ASGI server. It keeps no state but the service's.
    """

    def endpoint(shape: ApiShape) -> Callable[[Request], Awaitable[Response]]:
        async def rerank(request: Request) -> Response:
            try:
                parsed = _parse(shape, await _read_body(request, max_body), max_documents)
                scores = await service.score(parsed.query, parsed.texts)
                result = ScoredRequest(service.scorer.name, service.scorer.scale, scores, service.max_length)
                return JSONResponse(shape.response(parsed, result))
            except (RefusedError, InputError, ScorerError, OverloadedError) as error:
                return _error_response(shape, _refused_error(error))

        return rerank

    async def info(_: Request) -> Response:
        return JSONResponse(_info(service, max_documents))

    async def health(_: Request) -> Response:
        return Response()

    routes = [Route(shape.path, endpoint(shape), methods=["POST"]) for shape in SHAPES]
    return Starlette(routes=[*routes, Route("/info", info), Route("/health", health)])


async def _read_body(request: Request, max_body: int) -> bytes:
    """Return the request's body. Of a body that is too long, no more than `max_body` bytes are kept."""
    too_large = RefusedError(
        ErrorKind.TOO_LARGE, f"the request is larger than {max_body} bytes; send fewer documents at a time"
    )
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length) > max_body:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_body:
            raise too_large
    return bytes(body)


def _parse(shape: ApiShape, body: bytes, max_documents: int) -> HasTexts:
    try:
        request = cast("HasTexts", shape.request.model_validate_json(body))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem["loc"] else problem["msg"]
            for problem in error.errors()[:PROBLEMS_SHOWN]
        ]
        raise RefusedError(ErrorKind.INVALID, "; ".join(problems)) from None
    if not request.texts:
        raise RefusedError(ErrorKind.EMPTY, "`texts` cannot be empty")
    if len(request.texts) > max_documents:
        raise RefusedError(
            ErrorKind.INVALID,
            f"{len(request.texts)} documents are more than the {max_documents} of a request; see /info",
        )
    return request


def _refused_error(error: Exception) -> RefusedError:
    """Return the error for the caller. Its message names what failed, and quotes no texts."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, BusyError):
        return RefusedError(ErrorKind.OVERLOADED, f"overloaded: {error}", error.retry_after)
    if isinstance(error, InputError):
        return RefusedError(ErrorKind.INVALID, str(error))
    return RefusedError(ErrorKind.FAILED, str(error))


def _error_response(shape: ApiShape, error: RefusedError) -> Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    body = shape.error(error.kind, str(error))
    return JSONResponse(body, status_code=shape.statuses[error.kind], headers=headers)


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
