"""From the body of an HTTP request to a request of its format."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import cast

from resift.errors import MissingExtraError
from resift.serving.api_shapes import ApiShape, ErrorKind, HasTexts, RefusedError
from resift.text.half_pairs import replace_half_pairs

try:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails
    from starlette.requests import Request
except ImportError as error:
    raise MissingExtraError("the rerank service", "serve") from error

PROBLEMS_SHOWN = 5  # of a request, in an error
HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
"""A JSON escape of half a surrogate pair; most stand beside the other half."""


async def read_body(request: Request, max_body: int, seconds: float) -> bytes:
    """Return the request's body.

    Of one that is too long, no more than `max_body` bytes are kept; one that isn't there after `seconds` is given up.
    """
    too_large = RefusedError(
        ErrorKind.TOO_LARGE, f"the request is larger than {max_body} bytes; send fewer documents at a time"
    )
    content_length = request.headers.get("content-length", "")
    # Of a server that doesn't check it: digits of other scripts, or more of them than Python reads.
    if content_length.isascii() and content_length.isdigit() and int(content_length[:20]) > max_body:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_body:
                    raise too_large
    except TimeoutError:
        raise RefusedError(
            ErrorKind.SLOW, f"of the request, {len(body)} bytes came within {seconds:g} s, and not its end"
        ) from None
    return bytes(body)


def parse(shape: ApiShape, body: bytes) -> tuple[ApiShape, HasTexts]:
    """Return the request, and the shape it has: that of its route, or another one which that route takes too."""
    errors = []
    for each in filter(None, (shape, shape.otherwise)):
        try:
            return each, _validate(each.request, body)
        except ValidationError as error:
            errors.append(error.errors())
    # A request that has all fields of the other shape is meant as one of it.
    problems = [
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" if problem["loc"] else problem["msg"]
        for problem in min(errors, key=_fields_missing)[:PROBLEMS_SHOWN]
    ]
    raise RefusedError(ErrorKind.INVALID, "; ".join(problems))


def _fields_missing(problems: Sequence[ErrorDetails]) -> int:
    return sum(problem["type"] == "missing" and len(problem["loc"]) == 1 for problem in problems)


def _validate(model: type[BaseModel], body: bytes) -> HasTexts:
    """Return the request in a body. Half a surrogate pair, which pydantic refuses, becomes U+FFFD as everywhere."""
    try:
        return cast("HasTexts", model.model_validate_json(body))
    except ValidationError:
        if HALF_PAIR.search(body) is None:
            raise
        try:
            text = json.dumps(json.loads(body), ensure_ascii=False)
        except (ValueError, RecursionError):
            text = ""
        if not text:
            raise
        return cast("HasTexts", model.model_validate_json(replace_half_pairs(text)))
