"""Settings that fit the size of the data, and what a run says of itself."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from resift.evaluation.metrics import compare
from resift.training import Recipe
from resift.training.export import write_card
from resift.training.reranker_trainer import HeldOutFigures, Training


@pytest.mark.parametrize(
    ("queries", "held_out", "batch", "steps", "blend"),
    [(20, 4, 8, 16, 0.5), (300, 60, 8, 150, 0.5), (3_000, 200, 16, 175, 0.75), (30_000, 200, 32, 931, 0.75)],
)
def test_defaults_fit_the_size_of_the_data(queries: int, held_out: int, batch: int, steps: int, blend: float) -> None:
    sizes = Recipe().sizes(queries)
    assert (sizes.held_out, sizes.batch, sizes.blend) == (held_out, batch, blend)
    assert round((queries - held_out) * sizes.epochs / sizes.batch) == steps
    given = Recipe(held_out=5, batch=3, epochs=0.5, learning_rate=1e-6, blend=1)
    assert given.sizes(queries) == (5, 3, 0.5, 1e-6, 1)
    plain = Recipe(network="cls").sizes(queries)
    assert plain.learning_rate < sizes.learning_rate
    assert plain.blend == 1


@pytest.mark.parametrize(
    ("steps", "before", "after", "words"),
    [
        (7, [0.9, 1.0, 0.6], [0.9, 1.0, 0.6], r"^7 steps teach nothing \(\+0\.000 .*: give more pairs or --epochs"),
        (1, [0.9, 1.0, 0.6], [0.9, 0.9, 0.6], "^1 step teaches nothing"),
        (90, [0.2, 0.3, 0.4] * 2, [0.5, 0.6, 0.8] * 2, r"^\+0\.333 \[\+0\.300, .*on 6 held-out queries: it learned"),
        (90, [0.5, 0.6, 0.8] * 2, [0.2, 0.3, 0.4] * 2, "worse than before: keep the model"),
        (90, [0.2, 0.3, 0.4], [0.5, 0.6, 0.8], "on 3 held-out queries: no clear difference"),
        (90, [0.5, 0.6, 0.8], [0.6, 0.5, 0.8], "no clear difference: give more pairs"),
        (90, [1.0, 1.0, 0.99], [1.0, 1.0, 1.0], "nothing left to gain"),
        (90, [], [], "no list was held out"),
    ],
)
def test_a_run_says_plainly_whether_it_taught_anything(
    steps: int, before: list[float], after: list[float], words: str
) -> None:
    first, last = (dict(zip("abcdef", values, strict=False)) for values in (before, after))
    means = HeldOutFigures(*(sum(values) / len(values) if values else math.nan for values in (before, after)))
    training = Training(Recipe().sizes(9), steps, means, compare(first, last) if first else None)
    assert re.search(words, training.verdict), training.verdict


def test_where_nothing_is_held_out_no_figure_is_shown() -> None:
    nothing = HeldOutFigures(math.nan, math.nan)
    assert nothing.in_words() == "nothing was held out to measure on"
    assert json.dumps(nothing.to_dict(), allow_nan=False) == '{"before": null, "after": null}'
    assert HeldOutFigures(0.25, 0.5).in_words() == "held-out nDCG@10 0.250 before, 0.500 after"


@pytest.mark.parametrize(("judged", "slope", "words"), [
    ([], 1.0, "`relevance` is not calibrated"),
    (["mine"], 2.0, "`relevance` is calibrated on mine (logit = 2.000"),
])  # fmt: skip
def test_the_card_of_a_run_without_held_out_lists_says_so(
    judged: list[str], slope: float, words: str, tmp_path: Path
) -> None:
    training = Training(Recipe().sizes(2), 1, HeldOutFigures(math.nan, math.nan), None)
    card = write_card(
        tmp_path, Recipe(), files=[], teachers=[], pairs=[], training=training, calibration=(slope, 0.0), judged=judged
    )
    assert "nan" not in card
    assert "nothing was held out to measure on; steps: 1.\nNothing says whether it learned" in card
    assert words in card
