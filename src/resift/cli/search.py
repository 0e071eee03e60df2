"""`resift search`: search an indexed collection in two stages."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from resift.cli._models import no_truncation_warning, note_states_warnings, note_truncation, reranker
from resift.cli._options import (
    COLLECTION,
    DB,
    STATES,
    CalibrationFile,
    Collection,
    Db,
    EvidenceShown,
    Instruction,
    Json,
    Long,
    MinRelevance,
    Model,
    check_file,
)
from resift.cli._output import (
    console,
    json_document,
    movement,
    note,
    number,
    print_explanation,
    seconds,
    snippet,
    table,
)
from resift.cli._search import Embedder, Hybrid
from resift.errors import InputError

WHOLE_NUMBERS = range(-(2**63), 2**63)
"""What databases hold of them; a longer one is stored as a text."""
MANY_PASSAGES = 500
"""Reranking more takes seconds on any machine, and is told before."""

if TYPE_CHECKING:
    from resift.explanation.explanation import Explanation
    from resift.reranking.ranking import Hit, Ranking
    from resift.search.two_stage import Passage


def search(
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    collection: Collection = COLLECTION,
    db: Db = DB,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many results.")] = 5,
    candidates: Annotated[int, typer.Option("--candidates", min=1, help="How many passages are reranked.")] = 50,
    min_relevance: MinRelevance = None,
    model: Model = None,
    long_documents: Long = None,
    calibration: CalibrationFile = None,
    instruction: Instruction = None,
    evidence: EvidenceShown = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show each result's first-stage rank and score beside the final ones.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", callback=check_file, help="Write both stages side by side to this file, as a page."),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", callback=check_file, help="Write a picture of what moved to this file."),
    ] = None,
    explain: Annotated[
        int | None,
        typer.Option("--explain", metavar="RANK", min=1, help="Say which words carried the score of this result."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="KEY=VALUE", help="Only passages with this metadata; may be repeated."),
    ] = None,
    hybrid: Hybrid = None,
    embedder: Embedder = None,
    as_json: Json = False,
) -> None:
    """Search what `resift index` has indexed: a fast first stage, then the reranker."""
    from resift.cli._search import embedding_advice, own_model, two_stages

    conditions = _filter(where or [])
    with no_truncation_warning(), note_states_warnings(), embedding_advice():
        model = model or own_model(db, collection)
        ranker = reranker(model, long_documents, db / STATES, calibration=calibration, instruction=instruction)
        stages = two_stages(
            db,
            collection,
            ranker,
            candidates=max(candidates, top_k),
            hybrid=hybrid,
            embedder=embedder,
            where=conditions,
        )
        _note_many(db, collection, stages.candidates)
        pictured = html is not None or svg is not None  # that shows the first stage's best, wherever they are now
        wanted = None if pictured else top_k
        ranking = stages.search(question, wanted, min_relevance=min_relevance, evidence=evidence)
    if html is not None:
        ranking.to_html(html, top=top_k, title=_source)
    if svg is not None:
        ranking.to_svg(svg, top=top_k, title=_source)
    ranking = replace(ranking, hits=ranking.hits[:top_k])
    explanation = None if explain is None else _explain(ranking, explain)
    if as_json:
        why = {} if explanation is None else {"explanation": {"rank": explain, **explanation.to_dict()}}
        json_document({"collection": collection, **ranking.to_dict(document=_document), **why})
    elif compare:
        _show_comparison(ranking)
    else:
        _show(ranking)
    if explanation is not None and not as_json:
        console().print(Text(f"\nWhy {explain}.", "bold"))
        print_explanation(explanation)
    note_truncation(ranking.stats, long_documents, stages.reranker.scorer)


def _note_many(db: Path, collection: str, candidates: int) -> None:
    from resift.cli import _database

    if candidates > MANY_PASSAGES:
        passages = min(candidates, _database.existing(db, collection).count())
        if passages > MANY_PASSAGES:
            note(f"{passages:,} passages are reranked, which takes a while; --candidates and --top-k say how many")


def _explain(ranking: Ranking[Passage], rank: int) -> Explanation:
    """Return why a result has its score: of the text that was scored, with its title. Raises InputError."""
    from resift.explanation.explain import plan_occlusion

    if rank > len(ranking):
        raise InputError(f"--explain {rank}: there are {len(ranking)} results; --top-k says how many")
    hit, scorer = ranking[rank - 1], ranking.scored_by.scorer
    plan = None if scorer is None else plan_occlusion(scorer, ranking.query, hit.text)
    if plan is not None:
        note(f"{ranking.model} is asked to score up to {plan.pairs} texts: {plan.unit} are left out")
    return ranking.explain(hit)


def _filter(conditions: list[str]) -> dict[str, Any] | None:
    """Return Chroma's `where` for KEY=VALUE conditions, all of which must hold.

    >>> _filter(["path=docs/a.md"])
    {'path': 'docs/a.md'}
    >>> _filter(["year=1867"])  # may be stored as a number or as a text
    {'$or': [{'year': '1867'}, {'year': 1867}]}
    """
    filters = [_condition(condition) for condition in conditions]
    return {"$and": filters} if len(filters) > 1 else filters[0] if filters else None


def _condition(condition: str) -> dict[str, Any]:
    from resift.text.half_pairs import replace_half_pairs

    key, equals, value = replace_half_pairs(condition).partition("=")  # a terminal may have another encoding
    if not key or not equals:
        raise InputError(f"--where takes KEY=VALUE, not {condition!r}")
    if key.startswith("$"):
        raise InputError(f"--where {condition}: {key} is an operator, not the name of a field; --where may be repeated")
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return {key: value}
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise InputError(
            f"--where {condition}: {value} is no number that is stored; for this text say {key}='\"{value}\"'"
        )
    if isinstance(parsed, str):  # in quotes
        return {"$or": [{key: value}, {key: parsed}]}
    if not isinstance(parsed, bool | int | float) or (isinstance(parsed, int) and parsed not in WHOLE_NUMBERS):
        return {key: value}
    return {"$or": [{key: value}, {key: parsed}]}


def _document(passage: Passage) -> dict[str, Any]:
    found = {half: {"rank": place.rank, "score": place.score} for half, place in passage.found.items()}
    fused = {"found": found, "fused": passage.fused} if found else {}
    return {"id": passage.id, "similarity": passage.similarity, **fused, "metadata": dict(passage.metadata)}


def _show(ranking: Ranking[Passage]) -> None:
    screen = console()
    for hit in ranking:
        source, text = _source_and_text(hit)
        relevance = "" if hit.relevance is None else f"  relevance {number(hit.relevance)}"
        head = (
            Text(f"{hit.rank}. ").append(source, style="bold").append(f"  score {number(hit.score)}{relevance}", "dim")
        )
        screen.print(head)
        screen.print(Text(snippet(text, 2 * (screen.width - 4))), width=screen.width)
    _show_end(ranking)


def _show_comparison(ranking: Ranking[Passage]) -> None:
    screen = console()
    halves = sorted({half for hit in ranking for half in hit.document.found})  # none, or dense and lexical
    rows: list[tuple[str | Text, ...]] = []
    for hit in ranking:
        source, text = _source_and_text(hit)
        cells = (str(hit.rank), str(hit.index + 1), movement(hit.moved))
        scores = (number(hit.score), number(hit.document.similarity))
        found = [hit.document.found.get(half) for half in halves]
        ranks = ("" if place is None else str(place.rank) for place in found)
        passage = Text(source, "bold").append(f"  {snippet(text, screen.width)}", "not bold")
        rows.append((*cells, *scores, *ranks, passage))
    head = (">rank", ">was", ">moved", ">score", ">similarity", *(f">{half}" for half in halves), "passage")
    screen.print(table("", head, rows))
    _show_end(ranking)


def _show_end(ranking: Ranking[Passage]) -> None:
    times = ranking.stats.seconds
    first_stage = times.get("first_stage", 0.0)
    empty = "" if ranking.hits else "no result. "
    candidates = "1 candidate" if ranking.stats.documents == 1 else f"{ranking.stats.documents} candidates"
    line = (
        f"{empty}{candidates} in {seconds(first_stage)}, "
        f"reranked by {ranking.model} in {seconds(times.get('total', 0.0) - first_stage)}"
    )
    console().print(Text(line, style="dim"))


def _source_and_text(hit: Hit[Passage]) -> tuple[str, str]:
    """Return where a passage comes from, in one line, and the sentence that answers, or its text without that line."""
    from resift.documents.passages import body

    passage = hit.document
    if hit.evidence:
        return _source(passage), hit.evidence[0].text
    title, section = str(passage.metadata.get("title", "")), str(passage.metadata.get("section", ""))
    return _source(passage), body(passage.text, title, section)


def _source(passage: Passage) -> str:
    """Return where a passage comes from, in one line."""
    metadata = passage.metadata
    title, section = str(metadata.get("title", "")), str(metadata.get("section", ""))
    page = f"page {metadata['page']}" if "page" in metadata else ""
    return " · ".join(part for part in (str(metadata.get("path", passage.id)), section or title, page) if part)
