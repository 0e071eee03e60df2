"""`resift demo`: two stages over Aesop's fables, without any extra. Every result is computed when it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from resift.cli._options import Json, check_file
from resift.cli._output import console, json_document, movement, number, seconds, table

if TYPE_CHECKING:
    from resift.demo import Question
    from resift.reranking.ranking import Hit, Ranking
    from resift.search.two_stage import Passage

ROWS_SHOWN = 3
ROWS_OF_PAGE = 5
CANDIDATES = 30
NEXT_STEPS = (
    ("pip install 'resift[chroma,documents]'", "for what follows"),
    ("resift index docs/", "index a folder of your own"),
    ('resift search "your question" --compare', "search it in two stages"),
    ("from resift import Reranker", "Reranker().rank(query, documents)"),
)


def demo(
    html: Annotated[
        Path | None, typer.Option("--html", callback=check_file, help="Write the best of these searches as a page.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", callback=check_file, help="Write what moved in it as a picture.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search Aesop's fables in two stages, and see what the reranker changes. Offline, nothing to install."""
    from resift.demo import AMBIGUOUS, AMBIGUOUS_DOCUMENTS, QUESTIONS, fables
    from resift.reranking.reranker import Reranker
    from resift.search.two_stage import MemoryFirstStage, TwoStageSearch

    started = time.perf_counter()
    reranker = Reranker(long_documents="max_window")
    first_stage = MemoryFirstStage(fables())
    ready = time.perf_counter() - started
    search = TwoStageSearch(first_stage, reranker, candidates=CANDIDATES)
    answers = [(question, search.search(question.text, top_k=None)) for question in QUESTIONS]
    pair = TwoStageSearch(MemoryFirstStage(AMBIGUOUS_DOCUMENTS, first_stage.embedder), reranker)
    ambiguous = pair.search(AMBIGUOUS.text, top_k=None)
    picked = max(answers, key=lambda answer: _rise(*answer))[1]
    if html is not None:
        picked.to_html(html, top=ROWS_OF_PAGE, title=_name)
    if svg is not None:
        picked.to_svg(svg, title=_name)
    if as_json:
        questions = [_as_json(question, ranking) for question, ranking in answers]
        json_document({"ready_seconds": ready, "questions": questions, "ambiguous": _as_json(AMBIGUOUS, ambiguous)})
        return
    screen = console()
    screen.print(
        f"{len(first_stage.passages)} of Aesop's fables. First stage: {first_stage.embedder.name}, a bi-encoder that "
        f"compares vectors.\nThen {reranker.scorer.name}, a cross-encoder that reads question and fable together, "
        f"puts its {CANDIDATES} nearest in order.\nBoth loaded and the fables embedded in {seconds(ready)}; "
        "no network, no GPU."
    )
    for question, ranking in answers:
        _show(question, ranking)
    _show_ambiguous(AMBIGUOUS, ambiguous)
    _show_tally(answers)
    screen.print()
    for command, purpose in NEXT_STEPS:
        screen.print(Text(f"{command:<42}", "bold").append(purpose, "not bold"))


def _title(hit: Hit[Passage]) -> str:
    return _name(hit.document)


def _name(passage: Passage) -> str:
    return str(passage.metadata.get("title", passage.text))


def _ranks(question: Question, ranking: Ranking[Passage]) -> tuple[int, int] | None:
    """Return first-stage and final rank of the fable that answers, both from 1; None if it wasn't fetched."""
    return next(((hit.index + 1, hit.rank) for hit in ranking if _title(hit) == question.answer), None)


def _rise(question: Question, ranking: Ranking[Passage]) -> int:
    """Return how many ranks the answer rose to the first; 0 where it isn't first."""
    before, now = _ranks(question, ranking) or (0, 0)
    return before if now == 1 else 0


def _show(question: Question, ranking: Ranking[Passage]) -> None:
    before = sorted(ranking, key=lambda hit: hit.index)[:ROWS_SHOWN]
    rows = [
        (
            str(rank),
            _title_cell(old, question),
            movement(new.moved),
            _title_cell(new, question),
            number(new.relevance, 2),
        )
        for rank, (old, new) in enumerate(zip(before, ranking[:ROWS_SHOWN], strict=True), 1)
    ]
    screen = console()
    screen.print()
    columns = ("", "first stage", ">moved", "reranked", ">relevance")
    screen.print(table(question.text, columns, rows))
    screen.print(Text(f"{_verdict(question, ranking)}  [{_timing(ranking)}]", style="dim"))


def _title_cell(hit: Hit[Passage], question: Question) -> Text:
    """Return the title of a fable; the one that answers the question is green, with a check mark."""
    title = _title(hit)
    return Text(f"✓ {title}", style="bold green") if title == question.answer else Text(f"  {title}")


def _verdict(question: Question, ranking: Ranking[Passage]) -> str:
    ranks = _ranks(question, ranking)
    if ranks is None:
        return f"{question.answer}: not among the {CANDIDATES} candidates, so no reranker can find it"
    first, final = ranks
    if first == final:
        return f"{question.answer}: stays at {final}"
    return f"{question.answer}: from {first} to {final}" + (", which is worse" if final > first else "")


def _timing(ranking: Ranking[Passage]) -> str:
    times = ranking.stats.seconds
    return f"first stage {seconds(times['first_stage'])}, reranking {seconds(times['total'] - times['first_stage'])}"


def _show_tally(answers: list[tuple[Question, Ranking[Passage]]]) -> None:
    ranks = [_ranks(question, ranking) for question, ranking in answers]
    before = sum(pair is not None and pair[0] == 1 for pair in ranks)
    after = sum(pair is not None and pair[1] == 1 for pair in ranks)
    screen = console()
    screen.print()
    screen.print(
        f"The fable marked ✓ answers the question. It comes first in {before} of {len(answers)} cases after the first "
        f"stage, in {after} after reranking.\nRelevance is the score as a number from 0 to 1: it orders one question's "
        "fables, and a right answer in other words can have little.\n"
        "The questions were picked by hand: an illustration, no measurement."
    )


def _show_ambiguous(question: Question, ranking: Ranking[Passage]) -> None:
    rows = [
        (
            str(hit.rank),
            movement(hit.moved),
            _title_cell(hit, question),
            number(hit.document.similarity),
            number(hit.relevance, 2),
        )
        for hit in ranking
    ]
    screen = console()
    screen.print()
    columns = (">rank", ">moved", "document", ">similarity", ">relevance")
    screen.print(table(f'The ambiguous one: "{question.text}"', columns, rows))
    right = _title(ranking[0]) == question.answer
    first = "animal" if right else "programming language"
    verdict = "right" if right else "wrong, the query asks for the animal"
    screen.print(Text(f"{ranking.model} puts the {first} first: {verdict}.", style="dim"))


def _as_json(question: Question, ranking: Ranking[Passage]) -> dict[str, Any]:
    ranks = _ranks(question, ranking)
    return {
        "question": question.text,
        "answer": question.answer,
        "answer_first_stage_rank": ranks and ranks[0],
        "answer_rank": ranks and ranks[1],
        "model": ranking.model,
        "seconds": dict(ranking.stats.seconds),
        "hits": [
            {
                "rank": hit.rank,
                "index": hit.index,
                "title": _title(hit),
                "score": hit.score,
                "relevance": hit.relevance,
                "similarity": hit.document.similarity,
            }
            for hit in ranking
        ],
    }
