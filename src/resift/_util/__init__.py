"""Small helpers that know nothing of reranking."""
