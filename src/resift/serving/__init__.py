"""A rerank service with the routes of Cohere, Jina and text-embeddings-inference: as an ASGI app, and on Ray Serve."""
