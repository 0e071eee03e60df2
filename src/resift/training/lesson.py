"""What a run learns from: mined lists with the teachers' opinion, made once and kept beside the checkpoints."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from resift.errors import InputError
from resift.training.mining import CandidateList, keywords, mine
from resift.training.pairs import TrainingPair
from resift.training.recipe import Recipe
from resift.training.teachers import Known, Note, Teacher, TeacherScores, teach

FILE = "lesson.jsonl"


@dataclass(frozen=True, slots=True)
class Lesson:
    """Lists to learn from and lists held out, with the teachers' logits (None without teachers)."""

    lists: Sequence[CandidateList]
    scores: TeacherScores | None
    held_out: Sequence[CandidateList]


def prepare(
    pairs: Sequence[TrainingPair], recipe: Recipe, known: Known, teachers: Sequence[Teacher], note: Note
) -> Lesson:
    """Mines negatives, asks the teachers, and holds lists back. Raises InputError for too few pairs."""
    asked = keywords(pairs, recipe.keywords, recipe.seed)
    queries = sorted({pair.query for pair in asked})
    if len(queries) < recipe.held_out + recipe.queries:
        raise InputError(
            f"{len(queries)} different queries are too few: {recipe.held_out} are held out, "
            f"and a step takes {recipe.queries}; give more pairs, or set held_out or queries lower"
        )
    judges = [teacher.open(known) for teacher in teachers]
    note(f"mining {recipe.negatives} negatives for each of {len(asked):,} pairs")
    lists = mine(asked, known.embed, negatives=recipe.negatives, seed=recipe.seed)
    kept = set(random.Random(recipe.seed).sample(queries, recipe.held_out))  # noqa: S311 - a choice, nothing secret
    learned = [one for one in lists if one.query not in kept]
    held_out = list({one.query: one for one in lists if one.query in kept}.values())
    return Lesson(learned, teach(teachers, judges, learned, note) if teachers else None, held_out)


def prepare_once(
    pairs: Sequence[TrainingPair], recipe: Recipe, known: Known, teachers: Sequence[Teacher], folder: Path, note: Note
) -> Lesson:
    """`prepare`, or what it gave when this run was begun. Raises InputError for the folder of another run."""
    file = folder / FILE
    key = _key(pairs, recipe, teachers)
    if file.is_file():
        found = _read(file, key)
        note(f"going on with {file}: {len(found.lists):,} lists")
        return found
    lesson = prepare(pairs, recipe, known, teachers, note)
    folder.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".part")
    with half.open("w", encoding="utf-8") as out:
        out.write(json.dumps({"key": key}) + "\n")
        for one in lesson.held_out:
            out.write(json.dumps({"held_out": True, **asdict(one)}) + "\n")
        for place, one in enumerate(lesson.lists):
            taught = {} if lesson.scores is None else {"scores": lesson.scores[place]}
            out.write(json.dumps({**asdict(one), **taught}) + "\n")
    half.rename(file)  # a run cut short leaves no half lesson that looks whole
    return lesson


def _read(file: Path, key: str) -> Lesson:
    with file.open(encoding="utf-8") as lines:
        if json.loads(next(lines))["key"] != key:
            raise InputError(
                f"{file.parent} holds a run with other data, teachers or settings; give another folder, or delete it"
            )
        rows = [json.loads(line) for line in lines]
    lists = [(CandidateList(row["query"], tuple(row["documents"]), row["positives"]), row) for row in rows]
    scores = [tuple(row["scores"]) for row in rows if "scores" in row]
    learned = [one for one, row in lists if not row.get("held_out")]
    return Lesson(learned, scores or None, [one for one, row in lists if row.get("held_out")])


def _key(pairs: Sequence[TrainingPair], recipe: Recipe, teachers: Sequence[Teacher]) -> str:
    run = asdict(replace(recipe, blend=1.0))  # chosen at the end: another one needs no other run
    told = json.dumps([run, [asdict(one) for one in teachers], [asdict(pair) for pair in pairs]])
    return hashlib.sha256(told.encode()).hexdigest()
