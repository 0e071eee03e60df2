"""From numbers to an order: the reranker, its calls, the order, and what comes back."""
