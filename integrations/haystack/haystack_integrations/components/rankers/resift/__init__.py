"""resift for Haystack: put retrieved documents in the order a local cross-encoder gives them."""

from haystack_integrations.components.rankers.resift.ranker import ResiftRanker

__all__ = ["ResiftRanker"]
