"""`resift:fast`: which documents the second model reads, and what the scores of the others are."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence

import pytest

from resift import Reranker, Scale, load_scorer
from resift.errors import InputError
from resift.scorer import Request
from resift.scoring.cached import Cached
from resift.scoring.fast import DEPTH, FastScorer

QUERY = "what do pandas eat?"
ANSWERS = ["Pandas eat bamboo.", "A panda spends ten hours of a day eating bamboo."]


def fillers(count: int) -> list[str]:
    return [f"Rule {number} of the game says that the king moves {number} squares." for number in range(count)]


@pytest.fixture(scope="module")
def fast() -> FastScorer:
    scorer = load_scorer("resift:fast", threads=1)
    assert isinstance(scorer, FastScorer)
    return scorer


def test_a_short_list_has_the_scores_of_the_small_model(fast: FastScorer) -> None:
    texts = [*fillers(3), *ANSWERS]
    scores = fast.score(QUERY, texts)
    assert list(scores) == pytest.approx(list(fast.scorers[1].score(QUERY, texts)), abs=1e-4)
    assert scores.usage.pairs == len(texts)  # the first model reads none of them


def test_a_long_list_is_read_by_both_and_stays_in_one_order(fast: FastScorer) -> None:
    texts = [*fillers(DEPTH + 10), *ANSWERS]
    scores = fast.score(QUERY, texts)
    tiny, small = (scorer.score(QUERY, texts) for scorer in fast.scorers)
    best = sorted(range(len(texts)), key=lambda index: -tiny[index])[:DEPTH]
    others = [index for index in range(len(texts)) if index not in best]
    assert [scores[index] for index in best] == pytest.approx([small[index] for index in best], abs=1e-4)
    lowest = min(scores[index] for index in best)
    assert [scores[index] for index in others] == pytest.approx([min(tiny[index], lowest) for index in others])
    assert list(scores.order) == sorted(range(len(texts)), key=lambda i: (-scores[i], i in others, -tiny[i]))
    assert scores.usage.pairs == len(texts) + DEPTH


def test_lists_of_one_pass_do_not_change_each_other(fast: FastScorer) -> None:
    requests = [Request(QUERY, [*ANSWERS, *fillers(DEPTH)]), Request("chess", fillers(4)), Request("king", fillers(40))]
    together = fast.score_many(requests)
    for request, scores in zip(requests, together, strict=True):
        alone = fast.score(*request)
        assert list(scores) == pytest.approx(list(alone), abs=1e-4)
        assert scores.order == alone.order


@pytest.mark.slow  # hundreds of windows
def test_what_is_read_of_a_long_text_is_said_whichever_model_read_it(fast: FastScorer) -> None:
    long = [f"{'The rook stays where it is. ' * 60} Move {number}." for number in range(DEPTH + 1)]
    scores = fast.score(QUERY, [*long, *ANSWERS])
    assert sorted(scores.spans) == list(range(len(long)))


def test_its_ranking_has_relevance_and_the_answers_first(fast: FastScorer) -> None:
    ranking = Reranker(fast).rank(QUERY, [*fillers(DEPTH), *ANSWERS], min_relevance=0.5)
    assert set(ranking.documents) == set(ANSWERS)
    assert (ranking.scale, ranking.model) == (Scale.LOGIT, "resift:fast")


def test_it_explains_as_its_second_model_does(fast: FastScorer) -> None:
    explanation = Reranker(fast).explain(QUERY, ANSWERS[0])
    assert explanation.score == pytest.approx(fast.scorers[1].score(QUERY, ANSWERS[:1])[0], abs=1e-3)
    assert explanation.method == "parts"


@pytest.mark.parametrize("made_again", [copy.deepcopy, lambda scorer: pickle.loads(pickle.dumps(scorer))])
def test_a_copy_keeps_its_options(made_again: object) -> None:
    scorer = load_scorer("resift:fast", threads=1, max_length=64, long_documents="truncate")
    again = made_again(scorer)  # type: ignore[operator]  # one of two functions
    assert (again.max_length, again.long_documents) == (64, "truncate")


@pytest.mark.parametrize(
    ("options", "words"), [({"max_length": 300}, "256"), ({"dtype": "float32"}, "no option dtype")]
)
def test_options_that_it_does_not_have_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_scorer("resift:fast", **options)  # type: ignore[arg-type]  # that is what is tested


def test_its_scores_are_not_cached(fast: FastScorer) -> None:
    with pytest.raises(InputError, match="resift:fast"):
        Cached(fast)


def ranks(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def test_kept_states_do_not_change_its_scores() -> None:
    scorer = load_scorer("resift:fast", threads=1, keep_states=1 << 24)
    texts = [*fillers(DEPTH), *ANSWERS]
    first, again = scorer.score(QUERY, texts), scorer.score(QUERY, texts)
    assert list(again) == pytest.approx(list(first), abs=1e-4)
    assert ranks(again)[:2] == ranks(first)[:2]
