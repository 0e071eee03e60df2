"""A ranking as a page: both stages side by side, and the texts of the best hits with the words that speak for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from resift.errors import InputError, ResiftError
from resift.explanation.explain import has_parts
from resift.explanation.html import marks_of
from resift.explanation.shades import shown
from resift.report.elements import Child, Html, element
from resift.report.moves import Place, legend, marks_legend, movement, moves, relevance_bar
from resift.report.moves_svg import moves_picture
from resift.report.page import figures, notice, page, table
from resift.report.passage import Mark, marked

if TYPE_CHECKING:
    from resift.explanation.explanation import Explanation
    from resift.reranking.ranking import Hit, Ranking, Stats

T = TypeVar("T")

EXPLAINED = 10  # hits whose words are marked
OPEN = 3  # texts that are open from the start
CHARACTERS_SHOWN = 2000  # of a text without marks
TITLE_CHARACTERS = 120
EXCERPT_CHARACTERS = 90
FIELD_CHARACTERS = 300  # of a field of metadata
FIELDS_SHOWN = 20
NAMES_OF_TEXTS = ("path", "source", "file_name", "url", "title")
"""Fields of metadata that name a text, as resift's indexer, LangChain's and LlamaIndex's readers have them."""


class _Reading(NamedTuple):
    """What is known of a hit's words."""

    marks: tuple[Mark, ...] = ()
    evidence: tuple[int, int] | None = None
    shown: tuple[int, int] | None = None


def ranking_page(ranking: Ranking[T], *, top: int, title: Callable[[T], str] | None, first_stage: str | None) -> str:
    """Return the page. See `Ranking.to_html`."""
    named, first = _names(title), _first_stage(ranking, first_stage)
    hits = ranking.hits[:top]
    readings, unmarked = _read(ranking, hits)
    return page(
        ranking.query,
        notice("The order is degraded: ", ranking.degraded) if ranking.degraded else None,
        _unread(ranking),
        _figures(ranking, first),
        element("h2", "From the first stage to the final order"),
        moves([_place(hit, named) for hit in ranking], before=first, after=ranking.model, shown=top)
        if ranking.hits
        else notice(_nothing(ranking.stats)),
        element("h2", "What the best passages say") if hits else None,
        _legend(readings, unmarked) if hits else None,
        *(
            _card(hit, named(hit.document), reading, is_open=number < OPEN)
            for number, (hit, reading) in enumerate(zip(hits, readings, strict=True))
        ),
        _left_out(ranking, len(hits)),
        kicker="Two-stage search",
        made_by=f"Made by resift, {ranking.model}.",
    )


def ranking_picture(ranking: Ranking[T], *, top: int, title: Callable[[T], str] | None, first_stage: str | None) -> str:
    """Return the picture. See `Ranking.to_svg`."""
    named = _names(title)
    places = [_place(hit, named) for hit in ranking]
    before = _first_stage(ranking, first_stage)
    return moves_picture(places, title=ranking.query, before=before, after=ranking.model, shown=top)


def _first_stage(ranking: Ranking[T], name: str | None) -> str:
    return name or ranking.first_stage or "the order that was given"


def name_of(document: object) -> str:
    """Return what a document is called, from its metadata or its id; "" where it has no name.

    >>> name_of("a text")
    ''
    """
    metadata = _metadata(document)
    name = next(filter(None, (_said(metadata.get(key)) for key in NAMES_OF_TEXTS)), "")
    page_number = _said(metadata.get("page"))
    parts = [name, _said(metadata.get("section")), f"page {page_number}" if page_number else ""]
    return " · ".join(filter(None, parts)) or str(getattr(document, "id", None) or "")


def _said(value: object) -> str:
    """Return a field of metadata as part of a name; "" for what names nothing, such as an array."""
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return " > ".join(value)  # headings, from the outermost
    named = isinstance(value, str | int | float | PathLike) and value == value  # NaN is a missing one
    return str(value) if named else ""


def _names(title: Callable[[T], str] | None) -> Callable[[T], str]:
    """Return what names a document: the caller's function, and `name_of` where that says nothing."""
    if title is None:
        return name_of
    if not callable(title):
        raise InputError(f"title is a function that says what a document is called, not {type(title).__name__}")

    def named(document: T) -> str:
        given: object = title(document)
        return name_of(document) if given is None else str(given)

    return named


def _metadata(document: object) -> Mapping[str, Any]:
    metadata = document if isinstance(document, Mapping) else getattr(document, "metadata", None)
    return metadata if isinstance(metadata, Mapping) else {}


def _found(document: object) -> str:
    """Return what a first stage says of a document: its similarity, and its ranks in the halves of a hybrid one."""
    similarity, halves = getattr(document, "similarity", None), getattr(document, "found", None)
    if isinstance(similarity, int | float) and math.isfinite(similarity):
        parts = [f"similarity {_number(similarity)}"]
    else:
        parts = []
    if isinstance(halves, Mapping):
        parts += [f"{name} {place.rank}" for name, place in halves.items() if hasattr(place, "rank")]
    return " · ".join(parts)


def _title(name: str, text: str) -> str:
    line = " ".join((name.strip() or text[: TITLE_CHARACTERS * 4]).split()) or "(an empty text)"
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "…"


def _excerpt(text: str) -> str:
    """Return the beginning of a text on one line, behind the heading that a passage begins with."""
    head, gap, body = text[: EXCERPT_CHARACTERS * 8].partition("\n\n")
    line = " ".join((body if gap and body.strip() else head).split())
    return line if len(line) <= EXCERPT_CHARACTERS else line[: EXCERPT_CHARACTERS - 1] + "…"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1e6 else f"{value:.3g}"


def _score(hit: Hit[T]) -> str:
    return "not scored" if math.isnan(hit.score) else f"score {_number(hit.score)}"


def _scored(hit: Hit[T]) -> str:
    """Return a hit's score in words, its relevance first: a right answer's logit can be negative."""
    score = _score(hit)
    return score if hit.relevance is None else f"relevance {hit.relevance:.2f} · {score}"


def _place(hit: Hit[T], named: Callable[[T], str]) -> Place:
    name = named(hit.document)
    return Place(
        _title(name, hit.text),
        hit.index + 1,
        hit.rank,
        _found(hit.document),
        _scored(hit),
        excerpt=_excerpt(hit.text) if name.strip() else "",
        relevance=hit.relevance,
        link=f"hit-{hit.rank}",
    )


def _read(ranking: Ranking[T], hits: Sequence[Hit[T]]) -> tuple[list[_Reading], str]:
    """Return what is known of the words of hits, and what a reader should know of it."""
    nothing = [_Reading(evidence=_found_sentence(hit)) for hit in hits]
    if ranking.scored_by.scorer is None:
        return nothing, "Words are not marked: this ranking was pickled or made by hand, and knows no scorer."
    if not has_parts(ranking.scored_by.scorer):
        return nothing, "Words are marked only for models whose score is a sum of known parts, as the bundled ones."
    try:
        readings = [_reading(ranking.explain(hit), _found_sentence(hit)) for hit in hits[:EXPLAINED]]
    except ResiftError as error:
        return nothing, f"Words are not marked: {error}"
    return readings + nothing[EXPLAINED:], ""


def _found_sentence(hit: Hit[T]) -> tuple[int, int] | None:
    """Return the sentence that `evidence=` has found; None where it wasn't asked for, or is not in what was scored."""
    if not hit.evidence:
        return None
    best = hit.evidence[0]
    if hit.text[best.start : best.end] == best.text:
        return best.start, best.end
    start = hit.text.rfind(best.text)  # its place is one in `body`, which stands at the end where a title is put first
    return None if start < 0 else (start, start + len(best.text))


def _reading(explanation: Explanation, found: tuple[int, int] | None) -> _Reading:
    evidence = explanation.evidence
    place = found or (None if evidence is None else (evidence.start, evidence.end))
    return _Reading(tuple(marks_of(explanation)), place, shown(explanation))


def _unread(ranking: Ranking[T]) -> Html | None:
    stats = ranking.stats
    if not stats.truncated:
        return None
    are, their = ("is", "its") if stats.truncated == 1 else ("are", "their")
    return notice(
        f"{stats.truncated} of {stats.documents} texts {are} longer than was read: {their} end counts for nothing."
    )


def _nothing(stats: Stats) -> str:
    """Return why there is no result. Whatever else is wrong with an order, a document is left out for its relevance."""
    if not stats.documents:
        return "There is nothing to rank: the first stage found no candidate."
    of = f"None of the {stats.documents} candidates is" if stats.documents > 1 else "The one candidate is not"
    return f"{of} as relevant as min_relevance asks. That may be the right answer."


def _figures(ranking: Ranking[T], first_stage: str) -> Html:
    stats, seconds = ranking.stats, ranking.stats.seconds
    total, first = seconds.get("total"), seconds.get("first_stage", 0.0)
    risen = max((hit.moved for hit in ranking), default=0)
    named: list[tuple[str, Child, Child]] = [
        ("First stage", element("bdi", first_stage), _duration(first) if first else None),
        ("Model", element("bdi", ranking.model), f"{ranking.scale} scores"),
        ("Candidates", stats.documents, f"{stats.pairs} pairs scored" if stats.pairs else None),
        ("Reranking", "-" if total is None else _duration(total - first), _work(stats)),
        ("Largest rise", f"▲ {risen}" if risen > 0 else "none", "ranks" if risen > 0 else None),
    ]
    return figures(named)


def _work(stats: Stats) -> str:
    counts = {
        "from the cache": stats.cache_hits,
        "states kept": stats.states_kept,
        "calls": stats.calls,
        "unread in part": stats.truncated,
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _card(hit: Hit[T], name: str, reading: _Reading, *, is_open: bool) -> Html:
    place = reading.shown or _beginning(hit, reading.evidence)
    place_title = _title(name, hit.text)
    summary = element(
        "summary",
        element("b", hit.rank, class_="number"),
        element("span", element("bdi", place_title), class_="grow"),
        element("span", "part unread", class_="badge warn") if hit.truncated else None,
        relevance_bar(hit.relevance),
        _moved(hit),
        class_="line",
    )
    relevance = "" if hit.relevance is None else f", relevance {hit.relevance:.3f}"
    window = "" if hit.span is None else f"; the score is that of characters {hit.span[0]} to {hit.span[1]}"
    body = element(
        "div",
        element("p", f"{_score(hit)}{relevance}; was {hit.index + 1}, is {hit.rank}{window}", class_="muted small"),
        element("blockquote", marked(hit.text, reading.marks, reading.evidence, place), class_="passage", dir="auto"),
        _fields(hit),
        class_="body",
        id=f"hit-{hit.rank}",
    )
    return element("details", summary, body, class_="card", open=is_open)


def _beginning(hit: Hit[T], evidence: tuple[int, int] | None) -> tuple[int, int]:
    """Return what is shown of a text without marks: its beginning, or what stands around its evidence."""
    start = (hit.span or (0, 0))[0]
    if evidence is not None and evidence[1] > start + CHARACTERS_SHOWN:
        start = max(0, evidence[0] - CHARACTERS_SHOWN // 2)
    return start, min(len(hit.text), start + CHARACTERS_SHOWN)


def _moved(hit: Hit[T]) -> Html | None:
    return movement(Place("", hit.index + 1, hit.rank))


def _fields(hit: Hit[T]) -> Html | None:
    """Return a document's metadata, cut to a size that a reader looks at."""
    fields = [
        (str(key), value)
        for key, value in _metadata(hit.document).items()
        if not (isinstance(value, str) and value == hit.text)  # an array compares its parts
    ]
    if not fields:
        return None
    rows = [(element("bdi", _cut(key)), element("bdi", _cut(str(value)))) for key, value in fields[:FIELDS_SHOWN]]
    more = len(fields) - len(rows)
    return element(
        "details",
        element("summary", "Metadata", f" ({len(fields)})", class_="small muted"),
        table(("field", "value"), rows),
        legend(f"{more} more fields are not shown.") if more else None,
    )


def _cut(content: str) -> str:
    return content if len(content) <= FIELD_CHARACTERS else content[: FIELD_CHARACTERS - 1] + "…"


def _left_out(ranking: Ranking[T], count: int) -> Html | None:
    more = len(ranking.hits) - count
    return legend(f"{more} more are ranked below these, and not shown.") if more > 0 else None


def _legend(readings: Sequence[_Reading], unmarked: str) -> Html | None:
    if unmarked:
        cited = any(reading.evidence for reading in readings)
        return legend(unmarked, " Underlined is the sentence that answers best." if cited else None)
    if not any(reading.marks for reading in readings):
        return None
    return marks_legend()
