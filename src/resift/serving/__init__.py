"""A rerank service in the shapes of Cohere, Jina and text-embeddings-inference: an ASGI application, run by Ray."""
