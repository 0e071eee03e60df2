"""The OpenAPI document of the service, made from the request models."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from resift.serving.api_shapes import SHAPES, ApiShape

SCHEMA = "#/components/schemas/{model}"
PAGES = {
    "/": "What this is, and its routes: a page for browsers, JSON for others. `/docs` is the same.",
    "/v1/models": "The model, as OpenAI lists models.",
    "/info": "The model and the limits, as text-embeddings-inference shows them.",
    "/health": "200 while the service takes requests, 503 while it stops.",
    "/metrics": "Counts and times for Prometheus.",
}
WITHOUT_KEY = ("/", "/health")


def routes() -> dict[str, str]:
    """Return every route with what it is for."""
    posts = {f"POST {shape.path}": shape.about for shape in SHAPES}
    return posts | {f"GET {path}": text for path, text in PAGES.items()} | {"GET /openapi.json": "All of this in full."}


def openapi(with_key: bool) -> dict[str, Any]:
    """Return the document.

    Args:
        with_key: Whether requests need a key.
    """
    paths: dict[str, Any] = {shape.path: {"post": _operation(shape)} for shape in SHAPES}
    paths |= {
        path: {"get": {"summary": text, "responses": {"200": {"description": text}}}} for path, text in PAGES.items()
    }
    components: dict[str, Any] = {"schemas": _schemas()}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "resift", "version": version("resift")},
        "paths": paths,
        "components": components,
    }
    if with_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
        for path in WITHOUT_KEY:
            paths[path]["get"]["security"] = []
    return document


def _shapes_of(shape: ApiShape) -> list[ApiShape]:
    return [shape] if shape.otherwise is None else [shape, shape.otherwise]


def _operation(shape: ApiShape) -> dict[str, Any]:
    schemas = [{"$ref": SCHEMA.format(model=each.request.__name__)} for each in _shapes_of(shape)]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    statuses: dict[int, list[str]] = {}
    for kind, status in shape.statuses.items():
        statuses.setdefault(status, []).append(kind.name.lower().replace("_", " "))
    return {
        "summary": f"Rerank documents for a query, best first. {shape.about}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "The documents' indices and scores, best first.",
                "content": {"application/json": {}},
            },
            **{str(status): {"description": ", ".join(names)} for status, names in sorted(statuses.items())},
        },
    }


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for shape in SHAPES:
        schema = shape.request.model_json_schema(ref_template=SCHEMA)
        schemas |= schema.pop("$defs", {})
        schemas[shape.request.__name__] = schema
    return schemas
