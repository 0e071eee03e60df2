"""The service over HTTP: an ASGI application that any server runs; `resift.serving.ray_serve` has Ray Serve run it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, cast

from resift.errors import InputError, MissingExtraError, OverloadedError, ScorerError
from resift.serving.service import BusyError, RerankService
from resift.serving.shapes import SHAPES, ApiShape, HasTexts, Kind, RefusedError, Result

try:
    from pydantic import ValidationError
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("the rerank service", "scale") from error


def application(service: RerankService, *, max_documents: int, max_body: int) -> Starlette:
    """The service's routes: `/v2/rerank`, `/v1/rerank`, `/rerank`, `/info`, `/health`.

    `max_documents` bounds the documents of a request, `max_body` its bytes.
    """

    def endpoint(shape: ApiShape) -> Callable[[Request], Awaitable[Response]]:
        async def rerank(request: Request) -> Response:
            try:
                wanted = _parse(shape, await _body(request, max_body), max_documents)
                scores = await service.score(wanted.query, wanted.texts)
                result = Result(service.scorer.name, service.scorer.scale, scores, service.max_length)
                return JSONResponse(shape.answer(wanted, result))
            except (RefusedError, InputError, ScorerError, OverloadedError) as error:
                return _refusal(shape, _refused(error))

        return rerank

    async def info(_: Request) -> Response:
        return JSONResponse(_info(service, max_documents))

    async def health(_: Request) -> Response:
        return Response()

    routes = [Route(shape.path, endpoint(shape), methods=["POST"]) for shape in SHAPES]
    return Starlette(routes=[*routes, Route("/info", info), Route("/health", health)])


async def _body(request: Request, most: int) -> bytes:
    """The request's body, read no further than it may be long."""
    too_large = RefusedError(Kind.TOO_LARGE, f"the request is larger than {most} bytes; send fewer documents at a time")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise too_large
    return bytes(body)


def _parse(shape: ApiShape, body: bytes, max_documents: int) -> HasTexts:
    try:
        wanted = cast("HasTexts", shape.request.model_validate_json(body))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" if one["loc"] else one["msg"] for one in error.errors()
        ]
        raise RefusedError(Kind.INVALID, "; ".join(problems[:5])) from None
    if not wanted.texts:
        raise RefusedError(Kind.EMPTY, "`texts` cannot be empty")
    if len(wanted.texts) > max_documents:
        raise RefusedError(
            Kind.INVALID, f"{len(wanted.texts)} documents are more than the {max_documents} of a request; see /info"
        )
    return wanted


def _refused(error: Exception) -> RefusedError:
    """What a caller is told. What failed inside is named, without what it failed on."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, BusyError):
        return RefusedError(Kind.OVERLOADED, f"overloaded: {error}", error.retry_after)
    if isinstance(error, InputError):
        return RefusedError(Kind.INVALID, str(error))
    return RefusedError(Kind.FAILED, str(error))


def _refusal(shape: ApiShape, refused: RefusedError) -> Response:
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    body = shape.error(refused.kind, str(refused))
    return JSONResponse(body, status_code=shape.statuses[refused.kind], headers=headers)


def _info(service: RerankService, max_documents: int) -> dict[str, Any]:
    """What text-embeddings-inference tells of itself, as far as it applies."""
    return {
        "model_id": service.scorer.name,
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_input_length": service.max_length,
        "max_batch_tokens": service.batch_tokens,
        "max_client_batch_size": max_documents,
        "auto_truncate": True,
        "version": version("resift"),
    }
