"""What `resift eval` measures on an indexed collection: its passages, questions, first stage and judge."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from resift.cli import _database
from resift.cli._options import COLLECTION, DB
from resift.cli._output import note
from resift.cli._search import first_stage
from resift.errors import InputError

if TYPE_CHECKING:
    from resift.evaluation import Collection
    from resift.evaluation.first_stage import Stage
    from resift.evaluation.judge import Cost
    from resift.services.llm.scorer import LlmScorer

GRADES = "judgements.jsonl"
"""The file beside the database where a judge's grades are kept."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which indexed collection, and what is asked of it."""

    db: Path
    name: str
    questions: Path | None
    judged: bool
    """Whether an LLM judges."""

    @classmethod
    def of(
        cls, folder: Path | None, db: Path | None, name: str | None, questions: Path | None, judge: str | None
    ) -> Source:
        """Return the source of these options.

        `folder` is that of a database, the one that was indexed, or the name of a collection.
        """
        from resift.search.collections import has_database

        if folder is not None:
            if db is None and has_database(folder):
                db = folder
            elif name is None and not folder.exists():
                name = str(folder)
            elif not folder.is_dir():  # else the folder that was indexed: its collection is the default one
                raise InputError(
                    f"{folder} is no folder with a database: give --collection, and --db where it is; questions are "
                    "for an indexed collection"
                )
        if judge is not None and questions is None:
            raise InputError("--judge grades what is found for questions of yours: give --questions FILE, one a line")
        return cls(db or DB, name or COLLECTION, questions, judge is not None)

    def read(self, depth: int, stage: str | None, limit: int | None) -> tuple[Collection, Stage]:
        """Return passages and questions, and the first stage: the collection's own search unless another is named."""
        from resift.evaluation import IndexedPassages, heading_questions, read_answers, read_questions, retrieved_run
        from resift.evaluation.first_stage import NamedRun

        passages = IndexedPassages.read(_database.existing(self.db, self.name))
        if self.questions is None:
            if stage is not None and ":" in stage:
                raise InputError(
                    f"--first-stage {stage} knows the headings that are asked for: give bm25, static, dense or "
                    "multilingual, or give --questions"
                )
            return heading_questions(passages), stage or "bm25"
        asked = (read_questions if self.judged else read_answers)(self.questions, passages)
        if stage is not None:
            return asked, stage
        asked = _first_queries(asked, limit)
        return asked, NamedRun(self.name, retrieved_run(first_stage(self.db, self.name), asked, depth))


def judging_llm(model: str) -> LlmScorer:
    """Return the LLM of `--judge`. Raises InputError for any other kind of model."""
    from resift.scoring.load import load_scorer
    from resift.services.llm.scorer import LlmScorer

    scorer = load_scorer(model, method="pointwise") if model.startswith("openai:") else load_scorer(model)
    if not isinstance(scorer, LlmScorer):
        raise InputError(f"--judge takes an LLM, as in openai:gpt-4o-mini, and {model} is none")
    return scorer


def agreement(agreed: bool, budget: int | None) -> Callable[[Cost], None]:
    """Return what says the judge's cost before its first call, and stops it where nobody agrees."""

    def agree(cost: Cost) -> None:
        known = f"; {cost.known} grades are known already" if cost.known else ""
        text = f"{cost.calls} calls of the judge, about {cost.tokens:,} tokens{known}"
        note(text)
        if not cost.calls or agreed:
            return
        if budget is not None:
            if cost.calls > budget:
                raise InputError(
                    f"{text}: more than --budget {budget}; ask fewer with --queries, or --pool fewer passages"
                )
            return
        if not sys.stdin.isatty():
            raise InputError(f"{text}: say --yes to agree, or --budget CALLS")
        if not typer.confirm("Go on?", err=True):
            raise InputError("stopped before the first call")

    return agree


def _first_queries(collection: Collection, limit: int | None) -> Collection:
    """Return the collection with its first queries alone: no others need candidates."""
    from dataclasses import replace

    queries = dict(list(collection.queries.items())[:limit])
    return replace(collection, queries=queries, qrels={query: collection.qrels[query] for query in queries})
