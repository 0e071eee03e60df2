"""Single queries on a page: those that gained most and those that lost most, with the lists before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resift.evaluation.collection import Collection, Run
from resift.evaluation.threshold import ScoredCandidate
from resift.report.elements import Html, element, join
from resift.report.moves import Place, legend, moves, ranks

ROWS = 10  # of a list
TITLE_CHARACTERS = 140
QUERY_CHARACTERS = 300
FURTHER_SHOWN = 10  # judged documents that neither list shows


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a query: a metric before and after."""

    query: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        """Above 0 where it gained."""
        return self.after - self.before


def changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[Change]:
    """Return every query's change, the largest gain first."""
    return sorted(
        (Change(query, value, after[query]) for query, value in before.items()), key=lambda change: -change.difference
    )


def ends(ordered: Sequence[Change], shown: int) -> tuple[list[Change], list[Change]]:
    """Return the queries that gained most and those that lost most: `shown` in all, if there are as many."""
    won = [change for change in ordered if change.difference > 0]
    lost = [change for change in reversed(ordered) if change.difference < 0]
    losses = min(len(lost), max(shown // 2, shown - len(won)))
    return won[: shown - losses], lost[:losses]


def list_cards(
    ordered: Sequence[Change], collection: Collection, before: Run, after: Run, names: tuple[str, str], shown: int
) -> Html:
    """Return the queries with their lists before and after.

    Args:
        ordered: The changes, the largest gain first.
        collection: The documents, queries and judgements.
        before: The first stage's lists.
        after: The reranker's.
        names: What made the one and the other.
        shown: How many queries.
    """

    def body(change: Change) -> Html:
        return _lists(collection, change.query, before[change.query], after[change.query], names)

    return _cards(ordered, collection, body, shown)


def cut_cards(
    ordered: Sequence[Change],
    collection: Collection,
    candidates: Mapping[str, Sequence[ScoredCandidate]],
    cut: float,
    shown: int,
) -> Html:
    """Return the queries with their candidates and where the cut goes through them. Arguments as in `list_cards`."""

    def body(change: Change) -> Html:
        return _cut_list(collection, change.query, candidates[change.query], cut)

    return _cards(ordered, collection, body, shown)


def _cards(ordered: Sequence[Change], collection: Collection, body: Callable[[Change], Html], shown: int) -> Html:
    won, lost = ends(ordered, shown)
    same = sum(change.difference == 0 for change in ordered)
    wins = sum(change.difference > 0 for change in ordered)
    losses = len(ordered) - same - wins
    return join(
        *_group("Won", won, wins, collection, body),
        *_group("Lost", lost, losses, collection, body),
        legend(f"As good as before, and not shown: {same}.") if same else None,
    )


def _group(
    name: str, shown: Sequence[Change], count: int, collection: Collection, body: Callable[[Change], Html]
) -> list[Html]:
    of = f" {len(shown)} of {count} are shown, the largest difference first." if len(shown) < count else ""
    heading = element("h3", f"{name}: {count}", element("span", of, class_="muted small"))
    return [heading, *(_card(change, collection, body(change)) for change in shown)]


def _card(change: Change, collection: Collection, body: Html) -> Html:
    kind = "up" if change.difference > 0 else "down"
    summary = element(
        "summary",
        element("span", element("bdi", _short(collection.queries[change.query], QUERY_CHARACTERS)), class_="grow"),
        element("span", f"{change.before:.3f} → {change.after:.3f}", class_="muted small number"),
        element("span", f"{change.difference:+.3f}", class_=f"badge {kind}"),
        class_="line",
    )
    return element(
        "details",
        summary,
        element(
            "div", element("p", "query ", element("code", change.query), class_="muted small"), body, class_="body"
        ),
        class_="card",
    )


def _lists(
    collection: Collection, query: str, before: Sequence[str], after: Sequence[str], names: tuple[str, str]
) -> Html:
    was = {id: rank for rank, id in enumerate(before, 1)}
    now = {id: rank for rank, id in enumerate(after, 1)}
    seen = dict.fromkeys([*before[:ROWS], *after[:ROWS]])
    grades = collection.qrels.get(query, {})
    places = [
        Place(
            _short(collection.documents[id], TITLE_CHARACTERS) or "(no text)",
            was[id],
            now.get(id),
            id,
            id,
            grade=grades.get(id),
        )
        for id in seen
    ]
    return join(moves(places, before=names[0], after=names[1], shown=ROWS), _further(grades, seen, was, now))


def _further(
    grades: Mapping[str, int], seen: Mapping[str, None], was: Mapping[str, int], now: Mapping[str, int]
) -> Html | None:
    """Return a line on the relevant documents that neither list shows."""
    relevant = [id for id, grade in grades.items() if grade > 0 and id not in seen]
    if not relevant:
        return None
    found = sorted((id for id in relevant if id in was), key=was.__getitem__)
    said = [f"{id} ({was[id]} → {now.get(id, '-')})" for id in found[:FURTHER_SHOWN]]
    more = [f"{len(found) - len(said)} more"] if len(found) > len(said) else []
    parts = [f"Relevant and further down: {', '.join([*said, *more])}."] if found else []
    if missing := len(relevant) - len(found):
        parts.append(f"{missing} relevant not among the candidates.")
    return legend(" ".join(parts))


def _cut_list(collection: Collection, query: str, candidates: Sequence[ScoredCandidate], cut: float) -> Html:
    """Return the candidates on both sides of the cut, and all others that are judged relevant."""
    grades = collection.qrels.get(query, {})
    kept = sum(candidate.relevance >= cut for candidate in candidates)
    first = max(0, kept - ROWS // 2)
    rows: list[tuple[Place, Html]] = []
    for rank, candidate in enumerate(candidates, 1):
        if not (candidate.relevant or first < rank <= first + ROWS) or len(rows) >= 2 * ROWS:
            continue
        title = _short(collection.documents[candidate.id], TITLE_CHARACTERS) or "(no text)"
        detail = f"relevance {candidate.relevance:.3f} · {candidate.id}"
        place = Place(title, rank, rank, "", detail, relevance=candidate.relevance, grade=grades.get(candidate.id))
        is_kept = candidate.relevance >= cut
        end = element("span", "kept" if is_kept else "left out", class_="badge up" if is_kept else "badge down")
        rows.append((place, end))
    note = f"{kept} of {len(candidates)} candidates are kept. Shown are those around the cut, and the relevant ones."
    return join(legend(note), ranks(rows))


def _short(text: str, length: int) -> str:
    line = " ".join(text[: length * 4].split())
    return line if len(line) <= length else line[: length - 1] + "…"
