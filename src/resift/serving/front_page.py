"""What a browser or a curious client finds at `/`: what this is, and its routes."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from typing import Any

from resift.serving.openapi import routes

TITLE = "resift: a rerank service"
TEXT = (
    "It puts documents in order for a query, in the formats of Cohere, Jina, vLLM and text-embeddings-inference. "
    "POST a query and documents to one of the routes below."
)
EXAMPLE = {"query": "what eats bamboo?", "documents": ["Stocks fell on Monday.", "Pandas eat bamboo."]}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color-scheme: light dark }}
td {{ padding: .1em 1em .1em 0; vertical-align: top }}</style></head>
<body><h1>{title}</h1><p>{text}</p><table>{rows}</table>
<p>The requests in full: <a href="openapi.json">openapi.json</a></p></body></html>
"""


def front_page(model: str | None) -> dict[str, Any]:
    """Return what the page says.

    Args:
        model: The model's name. None: it and the version are only for those who have the key.
    """
    return {
        "service": TITLE,
        "about": TEXT,
        **({"needs_key": True} if model is None else {"model": model, "version": version("resift")}),
        "routes": routes(),
        "example": {"POST /v2/rerank": EXAMPLE},
        "openapi": "/openapi.json",
    }


def as_html(page: dict[str, Any]) -> str:
    """Return the page for a browser."""
    rows = "".join(
        f"<tr><td><code>{escape(route)}</code></td><td>{escape(text)}</td></tr>"
        for route, text in page["routes"].items()
    )
    about = f"It runs {page['model']}." if "model" in page else "Requests need its key."
    return PAGE.format(title=escape(TITLE), text=escape(f"{TEXT} {about}"), rows=rows)
