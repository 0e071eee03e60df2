"""A whole page: its head, its one style, and a rule for browsers that it asks for nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from resift.report.elements import Child, Html, element, join, text
from resift.report.style import style

TITLE_CHARACTERS = 400  # of a heading; a question may be as long as a page
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(title: str, *content: Child, kicker: str, lead: Child = None, made_by: str = "resift") -> str:
    """Return a page in UTF-8: one file, light and dark, for screens, phones and paper.

    Args:
        title: Its heading.
        content: What stands below.
        kicker: What kind of page it is, above the heading.
        lead: A line below the heading.
        made_by: Its last line.
    """
    title = title if len(title) <= TITLE_CHARACTERS else f"{title[: TITLE_CHARACTERS - 1]}…"
    head = join(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} · {kicker} · resift"),
        element("style", Html(style())),
    )
    top = element(
        "header",
        element("p", kicker, class_="kicker"),
        element("h1", element("bdi", title)),
        element("p", lead, class_="muted") if lead else None,
        class_="top",
    )
    body = join(top, element("main", *content), element("footer", text(made_by)))
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def figures(named: Sequence[tuple[str, Child, Child]]) -> Html:
    """Return figures side by side: (name, value, detail)."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", name),
                element("dd", value, element("div", detail, class_="detail") if detail else None),
            )
            for name, value, detail in named
        ),
        class_="figures",
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[Child]], *, chosen: int | None = None) -> Html:
    """Return a table that scrolls in its own frame. A column whose name starts with `>` holds numbers.

    Args:
        columns: Their names.
        rows: A cell for each column.
        chosen: The row that stands out.
    """
    kinds = ["number" if name.startswith(">") else None for name in columns]
    head = (
        element("th", name.removeprefix(">"), scope="col", class_=kind)
        for name, kind in zip(columns, kinds, strict=True)
    )
    body = (
        element(
            "tr",
            *(element("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)),
            class_="chosen" if place == chosen else None,
        )
        for place, row in enumerate(rows)
    )
    inside = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    return element("div", inside, class_="scroll", tabindex=0)


def notice(*content: Child) -> Html:
    """Return a line that must be seen: what is degraded, left out or unread."""
    return element("p", *content, class_="notice", role="note")


def written(content: str, path: str | PathLike[str] | None) -> str:
    """Return a page or a picture; write it to the file, if there is one. Raise OSError where that fails."""
    if path is not None:
        Path(path).write_text(content, encoding="utf-8")
    return content
