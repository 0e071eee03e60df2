"""Rerank services and servers over HTTP: Cohere, Jina, text-embeddings-inference and their kin.

`request` makes the body of a request and `response` reads what comes back, both by the service's row in
`known_services`; `address` says where requests go, and `scorer` puts them together. Needs `resift[remote]`.
"""
