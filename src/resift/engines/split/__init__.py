"""The bundled network's engine: documents are encoded apart from queries, and a reader scores the two together."""
