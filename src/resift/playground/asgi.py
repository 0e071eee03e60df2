"""The playground over HTTP: its page, and what the page asks for. Only this machine may ask."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import resources
from typing import Any, TypeVar

from resift._util.worker import Worker
from resift.errors import InputError, MissingExtraError, OverloadedError, ResiftError

try:
    import uvicorn  # noqa: F401 - `resift.serving.server` needs it, and would name another extra
    from pydantic import BaseModel, ValidationError
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError("the playground", "playground") from error

from resift.playground.guard import Guard
from resift.playground.judgements import RIGHT, WRONG
from resift.playground.requests import ExplainRequest, MarkRequest, SearchRequest
from resift.playground.session import Playground
from resift.report.style import style
from resift.serving.api_shapes import ErrorKind, RefusedError
from resift.serving.body import read_body
from resift.serving.in_flight import InFlight
from resift.text.half_pairs import replace_half_pairs

Asked = TypeVar("Asked", bound=BaseModel)

BODY_SECONDS = 20.0
MAX_BODY = 100_000  # bytes: a question and its settings
CALLS_WAITING = 64
PROBLEMS_SHOWN = 3
GRADES = {"right": RIGHT, "wrong": WRONG, None: None}
KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


def application(playground: Playground) -> Starlette:
    """Return the playground as an ASGI application.

    Args:
        playground: What answers. Its calls run one at a time, beside the event loop.

    Returns:
        An application for any ASGI server, with `app.state.in_flight` as `resift.serving.server.run` wants it.
    """
    worker = Worker(CALLS_WAITING, "the playground")
    in_flight = InFlight()

    def answers(make: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            with in_flight:
                try:
                    return await make(request)
                except ClientDisconnect:
                    return Response(status_code=499)
                except RefusedError as error:  # its words are for callers of the service
                    too_large = error.kind is ErrorKind.TOO_LARGE
                    words = f"larger than {MAX_BODY} bytes: ask a shorter question" if too_large else "not complete"
                    return _problem(413 if too_large else 408, f"the request is {words}")
                except ValidationError as error:
                    return _problem(400, _in_words(error))
                except InputError as error:
                    return _problem(400, str(error))
                except OverloadedError as error:
                    return _problem(503, str(error))
                except (ResiftError, OSError) as error:
                    return _problem(500, str(error))

        return answer

    def post(kind: type[Asked], do: Callable[[Asked], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def make(request: Request) -> Response:
            asked = kind.model_validate(_parsed(await read_body(request, MAX_BODY, BODY_SECONDS)))
            return _json(await worker.run(partial(do, asked)))

        return answers(make)

    async def state(_: Request) -> Response:
        return _json(await worker.run(playground.state))

    async def export(_: Request) -> Response:
        archive = await worker.run(playground.judgements.as_zip)
        name = f"attachment; filename={FILE_NAME}"
        return Response(archive, media_type="application/zip", headers={"content-disposition": name})

    routes = [
        *(Route(path, partial(_page_file, content, kind)) for path, (content, kind) in page_files().items()),
        Route("/api/state", answers(state)),
        Route("/api/export.zip", answers(export)),
        Route(
            "/api/search",
            post(SearchRequest, partial(_search, playground)),
            methods=["POST"],
        ),
        Route("/api/explain", post(ExplainRequest, partial(_explain, playground)), methods=["POST"]),
        Route("/api/mark", post(MarkRequest, partial(_mark, playground)), methods=["POST"]),
        Route(
            "/api/code",
            post(SearchRequest, lambda asked: playground.code(asked.query, asked.settings)),
            methods=["POST"],
        ),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard)])
    app.state.in_flight = in_flight
    return app


FILE_NAME = "resift-judgements.zip"


def page_files() -> dict[str, tuple[bytes, str]]:
    """Return path → content and kind of what the page is made of: the files of the folder `page`, and the style."""
    files = {"/style.css": (style().encode(), KINDS["css"])}
    for file in resources.files("resift.playground").joinpath("page").iterdir():
        suffix = file.name.rpartition(".")[2]
        if suffix in KINDS:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            files[path] = (file.read_bytes(), KINDS[suffix])
    return files


async def _page_file(content: bytes, kind: str, request: Request) -> Response:  # noqa: ARG001 - Starlette gives it
    return Response(content, media_type=kind)


def _search(playground: Playground, asked: SearchRequest) -> dict[str, Any]:
    return playground.search(asked.query, asked.settings, reuse=asked.reuse)


def _explain(playground: Playground, asked: ExplainRequest) -> dict[str, Any]:
    return playground.explain(asked.query, asked.id, asked.settings, confirmed=asked.confirmed)


def _mark(playground: Playground, asked: MarkRequest) -> dict[str, Any]:
    return playground.mark(asked.query, asked.id, GRADES[asked.mark], asked.settings)


def _parsed(body: bytes) -> Any:
    """Return the JSON in a body; half a surrogate pair becomes U+FFFD, as everywhere."""
    try:
        return _whole(json.loads(body))
    except (ValueError, RecursionError):
        raise InputError("the request is no JSON") from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return replace_half_pairs(value)
    if isinstance(value, dict):
        return {replace_half_pairs(key): _whole(item) for key, item in value.items()}
    return value


def _in_words(error: ValidationError) -> str:
    problems = error.errors()[:PROBLEMS_SHOWN]
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the request'}: {each['msg']}" for each in problems)


def _json(data: Any) -> Response:
    """Return a JSON response: in ASCII, which holds any text, with null for what is no number."""
    return Response(json.dumps(data, allow_nan=False), media_type="application/json")


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"error": replace_half_pairs(message)}, status_code=status)
