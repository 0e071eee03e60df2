"""What a first stage is taught: pairs as they are, lists that a cross-encoder scored, a bi-encoder's vectors."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from resift.errors import InputError
from resift.evaluation.nearest import encoder_kind
from resift.training.mining import CandidateList, Embed, Vectors, mine
from resift.training.pairs import TrainingPair
from resift.training.questions import SENTENCE_END, WORDS
from resift.training.teachers import Known, Note, Teacher, TeacherScores, dense_embed, teach

READ = 320  # characters of a text that is taught by vectors: what a teacher costs is what it reads
POOL = 10_000  # pairs whose passages wrong answers are sought in: enough for near misses, and quickly searched
KEY, LISTS, VECTORS = "run.json", "lists.json", "vectors.npy"


@dataclass(frozen=True, slots=True)
class Vectored:
    """Texts as a bi-encoder read them, and its unit vectors, row by row."""

    texts: Sequence[str]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Curriculum:
    """The parts of a training set; steps take them in turn."""

    pairs: Sequence[TrainingPair]
    lists: Sequence[CandidateList] = ()
    scores: TeacherScores | None = None
    vectored: Vectored | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """How much is labelled, and by whom."""

    teachers: Sequence[Teacher] = ()
    """Cross-encoders and others that score lists; the mean of their logits is learned."""
    bi_encoder: str | None = None
    """A sentence-transformers folder whose similarities are learned."""
    lists: int = 2000
    negatives: int = 7
    vectors: int = 20_000
    """Texts that the bi-encoder reads."""


def bi_encoder_folder(teacher: str) -> str | None:
    """The folder of a teacher that gives vectors, for `FOLDER` or `st:FOLDER`; None for one that scores pairs."""
    folder = Path(teacher.removeprefix("st:"))
    return str(folder) if encoder_kind(folder) == "SentenceTransformer" else None


def thin(pairs: Sequence[TrainingPair], per_passage: int, seed: int) -> list[TrainingPair]:
    """Shuffled, with at most so many queries of one passage: a passage asked for often is no more worth learning."""
    shuffled = random.Random(seed).sample(pairs, len(pairs))  # noqa: S311 - a choice of examples, nothing secret
    seen: dict[str, int] = {}
    kept = []
    for pair in shuffled:
        seen[pair.positive] = seen.get(pair.positive, 0) + 1
        if seen[pair.positive] <= per_passage:
            kept.append(pair)
    return kept


def label(
    pairs: Sequence[TrainingPair], labels: Labels, embed: Embed, *, seed: int, folder: Path, note: Note
) -> Curriculum:
    """Asks the teachers, or takes what they said when this run was begun; `embed` finds the lists' hard negatives."""
    lists, scores = _lists(pairs, labels, embed, seed, folder, note) if labels.teachers else ([], None)
    vectored = _vectored(pairs, labels, folder, note) if labels.bi_encoder is not None else None
    return Curriculum(pairs, lists, scores, vectored)


def _lists(
    pairs: Sequence[TrainingPair], labels: Labels, embed: Embed, seed: int, folder: Path, note: Note
) -> tuple[list[CandidateList], TeacherScores]:
    file = folder / LISTS
    judges = [] if file.exists() else [teacher.open(Known(embed)) for teacher in labels.teachers]
    pool = pairs[: max(POOL, labels.lists)]
    mined = mine(pool, embed, negatives=labels.negatives, seed=seed)[: labels.lists]
    lists = [one for one in mined if len(one.documents) == labels.negatives + 1]
    if not lists:
        raise InputError(f"too few passages for lists of {labels.negatives} wrong answers; ask for fewer negatives")

    if judges:
        scores = teach(labels.teachers, judges, lists, note)
        whole(file, lambda part: part.write_text(json.dumps(scores), encoding="utf-8"))
    return lists, [tuple(row) for row in json.loads(file.read_text(encoding="utf-8"))]


def _vectored(pairs: Sequence[TrainingPair], labels: Labels, folder: Path, note: Note) -> Vectored:
    texts = texts_to_read(pairs, labels.vectors)
    file = folder / VECTORS
    if not file.exists():
        note(f"{labels.bi_encoder} reads {len(texts):,} texts")
        vectors = dense_embed(str(labels.bi_encoder))(texts)
        whole(file, lambda part: _save(part, vectors))
    return Vectored(texts, np.load(file).astype(np.float32))


def texts_to_read(pairs: Sequence[TrainingPair], wanted: int) -> list[str]:
    """Queries, sentences and beginnings of passages, in turn, until so many: all lengths, and all words early."""
    found: dict[str, None] = {}
    for place, pair in enumerate(pairs):
        if len(found) >= wanted:
            break
        kind = place % 3
        sentences = [part for part in SENTENCE_END.split(pair.positive) if len(part.split()) in WORDS]
        if kind == 0:
            found.setdefault(pair.query[:READ])
        elif kind == 1 and sentences:
            found.setdefault(sentences[place % len(sentences)])
        else:
            found.setdefault(pair.positive[:READ])
    return list(found)


def _save(part: Path, vectors: Vectors) -> None:
    with part.open("wb") as out:
        np.save(out, vectors.astype(np.float16))


def whole(file: Path, write: Callable[[Path], object]) -> None:
    """A run cut short leaves no half file that looks whole."""
    part = file.with_name(f"{file.name}.part")
    write(part)
    part.rename(file)


def claim(folder: Path, pairs: Sequence[TrainingPair], **settings: object) -> None:
    """Marks the folder as this run's. Raises InputError where it is another's, with other data or settings."""
    told = json.dumps([settings, [asdict(pair) for pair in pairs]], default=str, sort_keys=True)
    key = hashlib.sha256(told.encode()).hexdigest()
    file = folder / KEY
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        whole(file, lambda part: part.write_text(json.dumps({"key": key}), encoding="utf-8"))
    elif json.loads(file.read_text(encoding="utf-8"))["key"] != key:
        raise InputError(f"{folder} holds an unfinished run with other data or settings: delete it, or write elsewhere")
