"""What a service counts, for Prometheus: requests by outcome, how long they take, what was scored and what wasn't."""

from __future__ import annotations

from resift.errors import MissingExtraError
from resift.scorer import Scores

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.exposition import choose_encoder
except ImportError as error:
    raise MissingExtraError("the rerank service", "serve") from error

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
QUEUE_TOKENS = (0, 1_000, 4_000, 16_000, 65_000, 260_000, 1_000_000)


class ServiceMetrics:
    """Counts of one service. Each has a registry of its own, so that one process can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "resift_requests", "Requests by route and outcome.", ["route", "outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "resift_request_seconds",
            "Seconds from a request's last header to its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._queue = Histogram(
            "resift_queue_tokens",
            "About how many tokens waited when a request came.",
            buckets=QUEUE_TOKENS,
            registry=self.registry,
        )
        self.in_flight = Gauge("resift_requests_in_flight", "Requests being answered.", registry=self.registry)
        self._degraded = Counter(
            "resift_degraded", "Requests whose scores are not all the model's own.", registry=self.registry
        )
        self._sums = {
            name: Counter(f"resift_{name}", text, registry=self.registry)
            for name, text in {
                "documents": "Documents in answered requests.",
                "pairs": "Pairs of query and text that the network read.",
                "tokens": "Tokens that the network had to read.",
                "truncated": "Documents that were not read to their end.",
                "cache_hits": "Documents whose score was kept.",
                "states_kept": "Pairs whose document was encoded before.",
            }.items()
        }

    def count_arrival(self, waiting_tokens: int) -> None:
        """Count a request that comes while so many tokens wait."""
        self._queue.observe(waiting_tokens)

    def count_scores(self, scores: Scores, truncated: int) -> None:
        """Count what a request's scores took, and how many documents were not read to their end."""
        usage = scores.usage
        for name, number in {
            "documents": len(scores),
            "pairs": usage.pairs,
            "tokens": usage.tokens,
            "truncated": truncated,
            "cache_hits": usage.cache_hits,
            "states_kept": usage.states_kept,
        }.items():
            self._sums[name].inc(number)
        if scores.degraded:
            self._degraded.inc()

    def count_answer(self, route: str, outcome: str, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, outcome).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics as text and its content type, in the format that the `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
