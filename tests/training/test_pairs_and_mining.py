"""What training learns from: pairs as they are read, and the hard negatives mined for them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from topic_pairs import count_letters, topic_pairs, write_jsonl

from resift import InputError
from resift.training.mining import keywords, mine
from resift.training.pairs import TrainingPair, read_pairs


@pytest.fixture(scope="session")
def pairs() -> list[TrainingPair]:
    return topic_pairs()


def test_pairs_are_read_plain_and_gzipped_each_once(tmp_path: Path) -> None:
    row = {"query": " who? ", "positive": "me", "negatives": ["you", "you"], "group": 4}
    file = tmp_path / "pairs.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n\n" + json.dumps(row) + "\n")
    assert read_pairs([file]) == [TrainingPair("who?", "me", ("you",), "4")]
    plain = write_jsonl(tmp_path / "pairs.jsonl", {"query": "q", "positive": "p", "negative": "n"})
    assert read_pairs([plain, plain]) == [TrainingPair("q", "p", ("n",))]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_or_a_group_may_be_null_and_a_file_may_begin_with_a_mark(tmp_path: Path, encoding: str) -> None:
    rows = [
        {"query": "q", "positive": "p", "negatives": None, "group": None},
        {"query": "r", "positive": "p", "group": 0},
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding=encoding)
    assert read_pairs([file]) == [TrainingPair("q", "p"), TrainingPair("r", "p", group="0")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"query": "q"}', "pairs.jsonl:1: positive is missing or empty"),
        (b'{"query": " ", "positive": "p"}', "query is missing or empty"),
        (b'{"query": "q", "positive": "\\u200b\\u00ad"}', "positive is missing or empty"),
        (b'{"query": "q", "positive": 3}', "positive is missing or empty"),
        (b'{"query": "q", "positive": "p", "negatives": [""]}', "a negative is missing or empty"),
        (b'{"query": "q", "positive": "p", "negatives": 3}', "negatives is a list of texts, this is a int"),
        (b'{"query": "q", "positive": "p", "negatives": ["p "]}', "the positive is also one of the negatives: 'p'"),
        (
            b'{"query": "q", "positive": "p"}\n{"query": "q", "positive": "x", "negatives": ["p"]}',
            "pairs.jsonl:2: a negative of 'q' is its positive in .*pairs.jsonl:1",
        ),
        (b'\n{"query": "q"', "pairs.jsonl:2: not valid JSON"),
        (b'["q", "p"]', "a JSON object is needed, this is a list"),
        (b'{"query": "q", "positive": "\xff"}', r"pairs.jsonl:1: not UTF-8 \(byte 0xff\)"),
        (b'{"query": "q", "positive": "p", "group": ["g"]}', "pairs.jsonl:1: group is a list, not a text"),
        (b"", "no pair of query and positive"),
    ],
)
def test_wrong_pairs_are_refused_with_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_pairs([file])


def test_a_file_of_pairs_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs\.jsonl can't be read: No such file"):
        read_pairs([tmp_path / "pairs.jsonl"])


def test_negatives_are_hard_wrong_and_always_the_same(pairs: list[TrainingPair]) -> None:
    near = TrainingPair(
        pairs[0].query, pairs[0].positive + ".", ("given and wrong",)
    )  # the answer again, but for a full stop
    lists = mine([*pairs, near], count_letters, negatives=5, seed=3)
    assert lists == mine([*pairs, near], count_letters, negatives=5, seed=3)
    assert lists != mine([*pairs, near], count_letters, negatives=5, seed=4)
    assert all(len(set(candidates.documents)) == 6 for candidates in lists)
    assert [candidates.documents[0] for candidates in lists] == [pair.positive for pair in [*pairs, near]]
    for candidates in (lists[0], lists[-1]):
        assert not {pairs[0].positive, near.positive} & set(candidates.documents[1:])
    assert lists[-1].documents[1] == "given and wrong"
    shared = [
        len(set(candidates.query.split()) & set(text.split()))
        for candidates in lists[:-1]
        for text in candidates.documents[1:]
    ]
    by_chance = [
        len(set(candidates.query.split()) & set(pair.positive.split())) for candidates in lists for pair in pairs
    ]
    assert np.mean(shared) > np.mean(by_chance) + 0.15


def test_few_passages_give_few_negatives() -> None:
    lists = mine(
        [TrainingPair("a", "one text"), TrainingPair("b", "another passage")], count_letters, negatives=5, seed=1
    )
    assert [candidates.documents for candidates in lists] == [
        ("one text", "another passage"),
        ("another passage", "one text"),
    ]


def test_queries_become_keywords_and_stay_without_contradiction() -> None:
    pairs = [TrainingPair("What is a panda?", "a bear", ("a tree",)), TrainingPair("Where is the panda?", "a tree")]
    assert keywords(pairs, 0.0, 1) == pairs
    assert keywords(pairs, 1.0, 1) == pairs  # a single word left is no query: kept whole
    longer = [
        TrainingPair("What is a panda bear?", "this", ("that",)),
        TrainingPair("Where is the panda bear?", "that"),
    ]
    assert keywords(longer, 1.0, 1) == [TrainingPair("panda bear", "this"), TrainingPair("panda bear", "that")]
