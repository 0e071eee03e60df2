"""Small helpers of the house: each knows nothing of reranking."""
