"""Two stages: a first stage fetches candidates, the reranker orders them."""
