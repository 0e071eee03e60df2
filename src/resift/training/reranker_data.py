"""What a reranker learns from: mined lists with the teachers' scores, made once and kept beside the checkpoints."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from resift.errors import InputError
from resift.training.kept import is_kept, write_kept
from resift.training.log import Log
from resift.training.mining import CandidateList, keywords, mine
from resift.training.pairs import TrainingPair
from resift.training.recipe import Recipe
from resift.training.run_key import run_key
from resift.training.teachers import LoadedModels, Teacher, TeacherScores, average_scores

DATA_FILE = "lesson.jsonl"


@dataclass(frozen=True, slots=True)
class RerankerData:
    """Lists to learn from and lists held out, with the teachers' logits (None without teachers)."""

    lists: Sequence[CandidateList]
    scores: TeacherScores | None
    held_out: Sequence[CandidateList]

    @property
    def queries(self) -> int:
        """Different queries, those held out among them."""
        return len({candidates.query for candidates in (*self.lists, *self.held_out)})


def prepare_data(
    pairs: Sequence[TrainingPair], recipe: Recipe, loaded: LoadedModels, teachers: Sequence[Teacher], log: Log
) -> RerankerData:
    """Mine negatives, let the teachers score, and hold lists back. Raises InputError for too few pairs."""
    shortened = keywords(pairs, recipe.keywords, recipe.seed)
    queries = sorted({pair.query for pair in shortened})
    sizes = recipe.sizes(len(queries))
    if len(queries) < sizes.held_out + sizes.batch:
        raise InputError(
            f"{len(queries)} different queries are too few: {sizes.held_out} are held out, "
            f"and a step takes {sizes.batch}; give more pairs, or set held_out or batch lower"
        )
    scorers = [teacher.list_scorer(loaded) for teacher in teachers]
    log(f"mining {recipe.negatives} negatives for each of {len(shortened):,} pairs")
    lists = mine(shortened, loaded.embed, negatives=recipe.negatives, seed=recipe.seed)
    draw = random.Random(recipe.seed)  # noqa: S311 - a choice of examples, nothing secret
    held_out_queries = set(draw.sample(queries, sizes.held_out))
    learned = [candidates for candidates in lists if candidates.query not in held_out_queries]
    held_out = {candidates.query: candidates for candidates in lists if candidates.query in held_out_queries}
    scores = average_scores(teachers, scorers, learned, log) if teachers else None
    return RerankerData(learned, scores, list(held_out.values()))


def load_or_prepare_data(
    pairs: Sequence[TrainingPair],
    recipe: Recipe,
    loaded: LoadedModels,
    teachers: Sequence[Teacher],
    folder: Path,
    log: Log,
) -> RerankerData:
    """Return what `prepare_data` gave when this run was begun, or prepare it and keep it in the folder.

    Raises InputError for the folder of another run.
    """
    file = folder / DATA_FILE
    # The blend is chosen at the end: another one needs no other run.
    key = run_key(replace(recipe, blend=1.0), teachers, pairs)
    if is_kept(file):
        data = _read(file, key)
        log(f"going on with {file}: {len(data.lists):,} lists")
        return data
    data = prepare_data(pairs, recipe, loaded, teachers, log)
    folder.mkdir(parents=True, exist_ok=True)
    write_kept(file, lambda path: _write(path, key, data))
    return data


def _write(file: Path, key: str, data: RerankerData) -> None:
    """Write the key, the lists held out and the lists to learn from, a line each."""
    with file.open("w", encoding="utf-8") as out:
        out.write(json.dumps({"key": key}) + "\n")
        for candidates in data.held_out:
            out.write(json.dumps({"held_out": True, **asdict(candidates)}) + "\n")
        for index, candidates in enumerate(data.lists):
            scores = {} if data.scores is None else {"scores": data.scores[index]}
            out.write(json.dumps({**asdict(candidates), **scores}) + "\n")


def _read(file: Path, key: str) -> RerankerData:
    with file.open(encoding="utf-8") as lines:
        if json.loads(next(lines))["key"] != key:
            raise InputError(
                f"{file.parent} holds a run with other data, teachers or settings; give another folder, or delete it"
            )
        rows = [json.loads(line) for line in lines]
    lists = [(CandidateList(row["query"], tuple(row["documents"]), row["positives"]), row) for row in rows]
    scores = [tuple(row["scores"]) for row in rows if "scores" in row]
    learned = [candidates for candidates, row in lists if not row.get("held_out")]
    return RerankerData(learned, scores or None, [candidates for candidates, row in lists if row.get("held_out")])
