"""An explanation as HTML: for notebooks, and as a page of its own. Everything that comes from outside is escaped.

It asks for nothing beside itself, and runs no script. Colours lie over whatever the background is, light or dark.
"""

from __future__ import annotations

from html import escape

import numpy as np

from resift.explanation.explanation import Explanation
from resift.explanation.shades import colour, figures, plain, shown, strengths
from resift.explanation.svg import heat_map

WORDS = 12  # of the table
BAR = 160  # pixels of the largest part
STYLE = (
    ".resift-explanation{line-height:1.6;max-width:70em}"
    ".resift-explanation h2{font-size:1em;margin:1.2em 0 .3em}"
    ".resift-explanation p{margin:.4em 0}"
    ".resift-explanation blockquote{margin:.3em 0;padding:.2em .8em;border-left:3px solid currentColor;"
    "white-space:pre-wrap;overflow-wrap:anywhere}"
    ".resift-explanation table{border-collapse:collapse}"
    ".resift-explanation td,.resift-explanation th{padding:.1em .8em .1em 0;text-align:left;vertical-align:baseline}"
    ".resift-explanation td.number{text-align:right;font-variant-numeric:tabular-nums}"
    ".resift-explanation .word{border-radius:3px;padding:0 1px}"
    ".resift-explanation .evidence{text-decoration:underline;text-decoration-thickness:2px;text-underline-offset:4px}"
    ".resift-explanation .map{overflow-x:auto}"
    ".resift-explanation .bar{display:inline-block;height:.7em;border-radius:2px}"
)


def page(explanation: Explanation) -> str:
    """Return a whole page in UTF-8, readable on a phone, in light and dark."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_text(explanation.query)}: an explanation by resift</title>"
        "<style>body{font:16px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;margin:1.5em}</style></head>"
        f"<body><main>{fragment(explanation)}</main></body></html>\n"
    )


def fragment(explanation: Explanation) -> str:
    """Return the explanation as an element for a notebook or another page."""
    cut = " Part of the document went unread." if explanation.truncated else ""
    note = f"{explanation.model}, {explanation.scale}, {explanation.method}.{cut}"
    return (
        f'<div class="resift-explanation"><style>{STYLE}</style>'
        f'<p dir="auto"><b>{_text(explanation.query)}</b><br>'
        f"score <b>{explanation.score:.3f}</b> <small>{_text(note)}</small></p>"
        f"<h2>Document</h2>{_document(explanation)}"
        f"<h2>Query words (rows) and document words (columns)</h2>"
        f'<div class="map" tabindex="0">{heat_map(explanation, alone=False)}</div>'
        f"<h2>Words that contribute most</h2>{_words(explanation)}{_parts(explanation)}</div>"
    )


def _document(explanation: Explanation) -> str:
    start, end = shown(explanation)
    evidence = explanation.evidence
    cited = (evidence.start, evidence.end) if evidence is not None else (0, 0)
    pieces = ["… " if start > 0 else ""]
    place = start
    for index, strength in enumerate(strengths(explanation.contributions).tolist()):
        word = explanation.document_words[index]
        if word.start < start or word.end > end:
            continue
        pieces.append(_cited(explanation.document, place, word.start, cited))
        title = f"{word.text} {explanation.contributions[index]:+.3f}"
        pieces.append(
            f'<span class="word" title="{_text(title)}" style="background:{colour(strength)}">'
            f"{_cited(explanation.document, word.start, word.end, cited)}</span>"
        )
        place = word.end
    pieces += [_cited(explanation.document, place, end, cited), " …" if end < len(explanation.document) else ""]
    return f'<blockquote dir="auto">{"".join(pieces)}</blockquote>{_evidence(cited)}'


def _cited(document: str, start: int, end: int, cited: tuple[int, int]) -> str:
    """Return document[start:end], underlined where it lies in the best sentence."""
    text = _text(document[start:end])
    return f'<span class="evidence">{text}</span>' if text and cited[0] <= start and end <= cited[1] else text


def _evidence(cited: tuple[int, int]) -> str:
    if cited == (0, 0):
        return ""
    return f"<p><small>Underlined: the best sentence, characters {cited[0]} to {cited[1]}.</small></p>"


def _words(explanation: Explanation) -> str:
    rows = []
    for word, value in explanation.top_words(WORDS):
        if value > 0:
            rows.append(
                f"<tr><td><bdi>{_text(word.text)}</bdi></td><td class='number'>{value:+.3f}</td>"
                f"<td><bdi>{_text(_answered(explanation, word.start))}</bdi></td></tr>"
            )
    asked = "" if explanation.matrix is None else "for"
    return f"<table><tr><th>word</th><th>contribution</th><th>{asked}</th></tr>{''.join(rows)}</table>"


def _answered(explanation: Explanation, start: int) -> str:
    """Return the query's words that a document word answers most, the most first."""
    if explanation.matrix is None:
        return ""
    column = next(index for index, word in enumerate(explanation.document_words) if word.start == start)
    values = explanation.matrix[:, column]
    rows = [row for row in np.argsort(-values, kind="stable").tolist() if explanation.query_words[row].is_spoken]
    best = [row for row in rows if values[row] > 0.2 * values.max() > 0]
    return ", ".join(explanation.query_words[row].text for row in best[:3])


def _parts(explanation: Explanation) -> str:
    parts = figures(explanation)
    if not parts:
        return ""
    width = BAR / abs(parts[0][1])
    rows = [
        f"<tr><td>{_text(name)}</td><td class='number'>{value:+.3f}</td><td><span class='bar' "
        f"style='width:{width * abs(value):.0f}px;background:{colour(1 if value > 0 else -1)}'></span></td></tr>"
        for name, value in parts
    ]
    total = f"<tr><th>score</th><td class='number'><b>{explanation.score:+.3f}</b></td><td></td></tr>"
    return f"<h2>Parts of the score</h2><table>{''.join(rows)}{total}</table>"


def _text(text: str) -> str:
    return escape(plain(text))
