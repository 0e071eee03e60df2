"""How good an order of documents is, and whether another is really better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from resift.errors import MissingExtraError
from resift.evaluation.collection import Qrels, Run
from resift.evaluation.runs import as_order

try:
    import ir_measures
except ImportError as error:
    raise MissingExtraError("resift.evaluation", "eval") from error

METRICS = ("nDCG@10", "RR@10", "R@100", "AP")
"""As ir_measures names them: nDCG@10, MRR@10, Recall@100, MAP."""
BOOTSTRAP_SAMPLES = 10_000
BOOTSTRAP_SEED = 7  # the same interval every time

PerQuery = Mapping[str, Mapping[str, float]]
"""metric → query id → value."""


def measure(qrels: Qrels, run: Run, metrics: tuple[str, ...] = METRICS) -> dict[str, dict[str, float]]:
    """Return each metric of each judged query, 0 to 1; a query that the run lacks has 0.

    The scores that ir_measures needs are made from the order, strictly decreasing: trec_eval breaks ties by document
    id, and would let an undecided reranker look decided.

    >>> measure({"q": {"a": 1}}, {"q": ["b", "a"]}, ("RR@10",))
    {'RR@10': {'q': 0.5}}
    """
    scores = {
        query: {id: -float(index) for index, id in enumerate(as_order(listed, query))} for query, listed in run.items()
    }
    names = {_parse_metric(metric): metric for metric in metrics}
    values: dict[str, dict[str, float]] = {metric: dict.fromkeys(qrels, 0.0) for metric in metrics}
    for value in ir_measures.iter_calc(list(names), _as_dicts(qrels), scores):
        values[names[value.measure]][value.query_id] = float(value.value)
    return values


def _parse_metric(name: str) -> ir_measures.Measure:
    """Return ir_measures' measure of a name such as "nDCG@10" or "AP".

    ir_measures.parse_measure does the same, but version 0.4.3 fails on Python 3.14, which has no `ast.Num`.
    """
    measure_name, _, cutoff = name.partition("@")
    family = getattr(ir_measures, measure_name)
    measure_of_name: ir_measures.Measure = family @ int(cutoff) if cutoff else family
    return measure_of_name


FEWEST_QUERIES = 5
"""Of fewer, the bootstrap draws the same few differences again and again, and its interval is too narrow."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One order against another, query by query."""

    difference: float
    """Mean over the queries; positive where the new order is better."""
    low: float
    high: float
    """Bounds of the paired bootstrap's 95 % interval: where the difference may lie on other queries of this kind."""
    wins: int
    losses: int
    ties: int

    @property
    def queries(self) -> int:
        """How many queries were compared."""
        return self.wins + self.losses + self.ties

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `no clear difference`, as the interval is above 0, below 0, or around it.

        Of fewer than `FEWEST_QUERIES` it is never clear: one query alone has an interval without a width.
        """
        if self.queries < FEWEST_QUERIES:
            return "no clear difference"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no clear difference"


def compare(before: Mapping[str, float], after: Mapping[str, float]) -> Comparison:
    """Compare two orders of the same queries, with a paired bootstrap over the queries.

    Args:
        before: query id → value of a metric under the first order.
        after: query id → value of the same metric under the second, for at least the same queries.

    Returns:
        The mean difference, after - before, with a 95 % interval, and the queries won, lost and tied.

    >>> compare({"a": 0.1, "b": 0.5}, {"a": 0.3, "b": 0.5}).wins
    1
    """
    differences = np.array([after[query] - before[query] for query in before])
    picks = np.random.default_rng(BOOTSTRAP_SEED).integers(0, len(differences), (BOOTSTRAP_SAMPLES, len(differences)))
    low, high = np.quantile(differences[picks].mean(axis=1), [0.025, 0.975])
    return Comparison(
        float(differences.mean()),
        float(low),
        float(high),
        int((differences > 0).sum()),
        int((differences < 0).sum()),
        int((differences == 0).sum()),
    )


def _as_dicts(qrels: Qrels) -> dict[str, dict[str, int]]:
    return {query: dict(grades) for query, grades in qrels.items()}
