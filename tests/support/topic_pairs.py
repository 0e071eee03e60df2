"""Pairs that tiny networks can learn in seconds: a query names three topics, and its answer holds those words.

With what files of them and a bi-encoder over them need.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resift.training.pairs import TrainingPair

FILLERS = ["the", "a", "of", "in", "and", "eats", "sleeps", "runs", "quickly", "under", "over", "beneath"]
TOPICS = ["panda", "bamboo", "tree", "grass", "stock", "monday", "water", "river", "market", "hyperbole"]


def topic_pairs() -> list[TrainingPair]:
    """80 of them, always the same."""
    pairs = []
    for number, topics in enumerate(list(itertools.combinations(TOPICS, 3))[:80]):
        draw = random.Random(number)
        words = [*topics, *draw.sample(FILLERS, 6)]
        draw.shuffle(words)
        pairs.append(TrainingPair(" ".join(topics), " ".join(words)))
    return pairs


def write_jsonl(path: Path, *rows: object) -> Path:
    """A jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def count_letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """A bi-encoder of our own: how often each letter comes."""
    counts = np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz "] for text in texts], np.float32)
    unit: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    return unit
