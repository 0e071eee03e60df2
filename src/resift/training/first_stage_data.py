"""What a first stage learns from: pairs, lists that a cross-encoder scored, and texts that a bi-encoder embedded."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resift._util.atomic import write_whole
from resift.errors import InputError
from resift.evaluation.nearest import encoder_kind
from resift.training.kept import is_kept, write_kept
from resift.training.log import Log
from resift.training.mining import CandidateList, Embed, Vectors, mine
from resift.training.pairs import TrainingPair
from resift.training.questions import SENTENCE_END, WORDS
from resift.training.recipe import Distillation
from resift.training.run_key import run_key
from resift.training.teachers import LoadedModels, Teacher, TeacherScores, average_scores, dense_embed

CHARACTERS_EMBEDDED = 320  # of a text that is learned by vectors: what a teacher costs is what it reads
PAIRS_MINED = 10_000  # whose passages are searched for wrong answers: enough for near misses, and quickly searched
KEY_FILE, SCORES_FILE, VECTORS_FILE = "run.json", "lists.json", "vectors.npy"


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """Texts that a bi-encoder read, and its unit vectors, row by row."""

    texts: Sequence[str]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class FirstStageData:
    """The parts of a training set; steps take them in turn."""

    pairs: Sequence[TrainingPair]
    lists: Sequence[CandidateList] = ()
    scores: TeacherScores | None = None
    embedded: EmbeddedTexts | None = None


@dataclass(frozen=True, slots=True)
class FirstStageTeachers:
    """Who teaches a first stage."""

    scorers: Sequence[Teacher] = ()
    """Cross-encoders and others that score lists; the mean of their logits is learned."""
    bi_encoder: str | None = None
    """A sentence-transformers folder whose similarities are learned."""

    @classmethod
    def parse(cls, names: Sequence[str]) -> FirstStageTeachers:
        """Sort names into bi-encoders and others. Raises InputError for more than one bi-encoder."""
        folders = {name: bi_encoder_folder(name) for name in names}
        encoders = [folder for folder in folders.values() if folder is not None]
        if len(encoders) > 1:
            raise InputError(f"one bi-encoder can teach at a time, got {', '.join(encoders)}")
        scorers = tuple(Teacher.parse(name) for name in names if folders[name] is None)
        return cls(scorers, encoders[0] if encoders else None)


def bi_encoder_folder(teacher: str) -> str | None:
    """Return the folder of a teacher that gives vectors, for `FOLDER` or `st:FOLDER`; None for one that scores."""
    folder = Path(teacher.removeprefix("st:"))
    return str(folder) if encoder_kind(folder) == "SentenceTransformer" else None


def limit_queries_per_passage(pairs: Sequence[TrainingPair], limit: int, seed: int) -> list[TrainingPair]:
    """Shuffle the pairs and keep at most `limit` of a passage: many queries make it no more worth learning."""
    shuffled = random.Random(seed).sample(pairs, len(pairs))  # noqa: S311 - a choice of examples, nothing secret
    counts: dict[str, int] = {}
    limited = []
    for pair in shuffled:
        counts[pair.positive] = counts.get(pair.positive, 0) + 1
        if counts[pair.positive] <= limit:
            limited.append(pair)
    return limited


def load_or_prepare_data(
    pairs: Sequence[TrainingPair],
    settings: Distillation,
    teachers: FirstStageTeachers,
    embed: Embed,
    folder: Path,
    log: Log,
) -> FirstStageData:
    """Let the teachers score and embed, or take what they gave when this run was begun.

    `embed` is the student's: with it the lists' hard negatives are mined.
    """
    lists, scores = _scored_lists(pairs, settings, teachers, embed, folder, log) if teachers.scorers else ([], None)
    if teachers.bi_encoder is None:
        return FirstStageData(pairs, lists, scores)
    return FirstStageData(pairs, lists, scores, _embedded_texts(pairs, settings, teachers.bi_encoder, folder, log))


def _scored_lists(
    pairs: Sequence[TrainingPair],
    settings: Distillation,
    teachers: FirstStageTeachers,
    embed: Embed,
    folder: Path,
    log: Log,
) -> tuple[list[CandidateList], TeacherScores]:
    file = folder / SCORES_FILE
    scorers = [] if is_kept(file) else [teacher.list_scorer(LoadedModels(embed)) for teacher in teachers.scorers]
    pool = pairs[: max(PAIRS_MINED, settings.lists)]
    mined = mine(pool, embed, negatives=settings.negatives, seed=settings.seed)[: settings.lists]
    lists = [candidates for candidates in mined if len(candidates.documents) == settings.negatives + 1]
    if not lists:
        raise InputError(f"too few passages for lists of {settings.negatives} wrong answers; ask for fewer negatives")

    if scorers:
        scores = average_scores(teachers.scorers, scorers, lists, log)
        write_kept(file, lambda path: path.write_text(json.dumps(scores), encoding="utf-8"))
    return lists, [tuple(row) for row in json.loads(file.read_text(encoding="utf-8"))]


def _embedded_texts(
    pairs: Sequence[TrainingPair], settings: Distillation, bi_encoder: str, folder: Path, log: Log
) -> EmbeddedTexts:
    texts = texts_to_embed(pairs, settings.vectors)
    file = folder / VECTORS_FILE
    if not is_kept(file):
        log(f"{bi_encoder} reads {len(texts):,} texts")
        vectors = dense_embed(bi_encoder)(texts)
        write_kept(file, lambda path: _save(path, vectors))
    return EmbeddedTexts(texts, np.load(file).astype(np.float32))


def texts_to_embed(pairs: Sequence[TrainingPair], wanted: int) -> list[str]:
    """Return queries, sentences and beginnings of passages in turn, up to `wanted`.

    So there are texts of all lengths, and a few of them have most of the words.
    """
    texts: dict[str, None] = {}
    for index, pair in enumerate(pairs):
        if len(texts) >= wanted:
            break
        kind = index % 3
        sentences = [part for part in SENTENCE_END.split(pair.positive) if len(part.split()) in WORDS]
        if kind == 0:
            texts.setdefault(pair.query[:CHARACTERS_EMBEDDED])
        elif kind == 1 and sentences:
            texts.setdefault(sentences[index % len(sentences)])
        else:
            texts.setdefault(pair.positive[:CHARACTERS_EMBEDDED])
    return list(texts)


def _save(path: Path, vectors: Vectors) -> None:
    with path.open("wb") as out:
        np.save(out, vectors.astype(np.float16))


def _key_in(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))["key"]
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{file} is damaged: delete {file.parent} to begin anew") from None


def claim_folder(
    folder: Path, settings: Distillation, teachers: FirstStageTeachers, pairs: Sequence[TrainingPair]
) -> None:
    """Mark the folder as this run's. Raises InputError where it is another's, with other data or settings."""
    key = run_key(settings, teachers, pairs)
    file = folder / KEY_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda path: path.write_text(json.dumps({"key": key}), encoding="utf-8"))
    elif _key_in(file) != key:
        raise InputError(f"{folder} holds an unfinished run with other data or settings: delete it, or write elsewhere")
