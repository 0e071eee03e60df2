"""An explanation as HTML: for notebooks, and as a page of its own. Everything that comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resift.explanation.explanation import Explanation
from resift.explanation.shades import AGAINST, FOR, NO_WORDS, figures, shown, strengths
from resift.explanation.svg import heat_map
from resift.report.elements import Child, Html, element, join
from resift.report.moves import legend, marks_legend
from resift.report.page import figures as named_figures
from resift.report.page import notice, table
from resift.report.page import page as whole_page
from resift.report.passage import Mark, marked

WORDS = 12  # of the table
BAR = 10.0  # times the height of a letter: the largest part

_NOTEBOOK = ".resift-explanation"
STYLE = (
    # Colours lie over whatever the background of the notebook is, light or dark.
    f"{_NOTEBOOK}{{line-height:1.6;max-width:70em}}"
    f"{_NOTEBOOK} h2{{font-size:1em;margin:1.2em 0 .3em}}"
    f"{_NOTEBOOK} p{{margin:.4em 0}}"
    f"{_NOTEBOOK} blockquote{{margin:.3em 0;padding:.2em .8em;border-left:3px solid currentColor;"
    "white-space:pre-wrap;overflow-wrap:anywhere}"
    f"{_NOTEBOOK} table{{border-collapse:collapse}}"
    f"{_NOTEBOOK} td,{_NOTEBOOK} th{{padding:.1em .8em .1em 0;text-align:left;vertical-align:baseline}}"
    f"{_NOTEBOOK} .number{{text-align:right;font-variant-numeric:tabular-nums}}"
    f"{_NOTEBOOK} .word{{border-radius:3px;padding:0 1px}}"
    f"{_NOTEBOOK} .for{{background:rgba({','.join(map(str, FOR))},calc(var(--s)*.6))}}"
    f"{_NOTEBOOK} .against{{background:rgba({','.join(map(str, AGAINST))},calc(var(--s)*.6))}}"
    f"{_NOTEBOOK} .evidence{{text-decoration:underline;text-decoration-thickness:2px;text-underline-offset:4px}}"
    f"{_NOTEBOOK} .scroll{{overflow-x:auto}}"
    f"{_NOTEBOOK} .part{{display:inline-block;height:.7em;border-radius:2px}}"
)


def page(explanation: Explanation) -> str:
    """Return a whole page in UTF-8, readable on a phone, in light and dark."""
    named: list[tuple[str, Child, Child]] = [
        ("Score", f"{explanation.score:.3f}", explanation.scale),
        ("Model", element("bdi", explanation.model), None),
        ("Method", explanation.method, f"{explanation.pairs_scored} texts scored" if not explanation.adds_up else None),
    ]
    evidence = explanation.evidence
    if evidence is not None:
        named.append(("Best sentence", f"{evidence.start} to {evidence.end}", "characters"))
    return whole_page(
        explanation.query,
        notice("Part of the document went unread.") if explanation.truncated else None,
        named_figures(named),
        *(
            join(element("h2", name), element("div", content, class_="panel"))
            for name, content in _sections(explanation)
        ),
        kicker="Why this score",
        made_by=f"Made by resift, {explanation.model}.",
    )


def fragment(explanation: Explanation) -> str:
    """Return the explanation as an element for a notebook or another page."""
    cut = " Part of the document went unread." if explanation.truncated else ""
    note = f"{explanation.model}, {explanation.scale}, {explanation.method}.{cut}"
    score = join("score ", element("b", f"{explanation.score:.3f}"), " ", element("small", note))
    head = element("p", element("b", explanation.query), element("br"), score, dir="auto")
    body = (join(element("h2", name), content) for name, content in _sections(explanation))
    return element("div", element("style", Html(STYLE)), head, *body, class_="resift-explanation")


def marks_of(explanation: Explanation) -> list[Mark]:
    """Return the words of the document as marks."""
    values = explanation.contributions.tolist()
    return [
        Mark(word.start, word.end, strength, f"{word.text} {value:+.3f}")
        for word, strength, value in zip(
            explanation.document_words, strengths(explanation.contributions).tolist(), values, strict=True
        )
    ]


def _sections(explanation: Explanation) -> list[tuple[str, Html]]:
    """Return what there is to see, by name."""
    sections = [("Document", _document(explanation))]
    if explanation.document_words:
        heat = Html(heat_map(explanation, alone=False))
        sections.append(
            ("Query words (rows) and document words (columns)", element("div", heat, class_="scroll", tabindex=0))
        )
        sections.append(("Words that contribute most", _words(explanation)))
    if parts := figures(explanation):
        sections.append(("Parts of the score", _parts(explanation, parts)))
    return sections


def _document(explanation: Explanation) -> Html:
    if not explanation.document_words:
        return element("p", NO_WORDS)
    evidence = explanation.evidence
    cited = None if evidence is None else (evidence.start, evidence.end)
    content = marked(explanation.document, marks_of(explanation), cited, shown(explanation))
    return join(element("blockquote", content, class_="passage", dir="auto"), marks_legend())


def _words(explanation: Explanation) -> Html:
    asked = "" if explanation.matrix is None else "for"
    rows = [
        (element("bdi", word.text), f"{value:+.3f}", element("bdi", _answered(explanation, word.start)))
        for word, value in explanation.top_words(WORDS)
        if value > 0
    ]
    return table(("word", ">contribution", asked), rows) if rows else legend("No word speaks for the document.")


def _answered(explanation: Explanation, start: int) -> str:
    """Return the query's words that a document word answers most, the most first."""
    if explanation.matrix is None:
        return ""
    column = next(index for index, word in enumerate(explanation.document_words) if word.start == start)
    values = explanation.matrix[:, column]
    rows = [row for row in np.argsort(-values, kind="stable").tolist() if explanation.query_words[row].is_spoken]
    best = [row for row in rows if values[row] > 0.2 * values.max() > 0]
    return ", ".join(explanation.query_words[row].text for row in best[:3])


def _parts(explanation: Explanation, parts: Sequence[tuple[str, float]]) -> Html:
    width = BAR / abs(parts[0][1])
    rows = [(name, f"{value:+.3f}", _bar(value, width * abs(value))) for name, value in parts]
    return table(("part", ">contribution", ""), [*rows, ("score", f"{explanation.score:+.3f}", None)], chosen=len(rows))


def _bar(value: float, width: float) -> Html:
    kind = "part word for" if value > 0 else "part word against"
    return element("span", class_=kind, style=f"--s:1;display:inline-block;height:.7em;width:{width:.2f}em")
