"""What a service accepts if nothing else is said: the defaults of `resift serve`, of Ray Serve and of the classes."""

MAX_DOCUMENTS = 1000
"""Documents of one request."""
MAX_BODY = 8_000_000
"""Bytes of one request."""
BATCH_TOKENS = 16_384
"""Tokens that are scored together, of several requests, and up to twice as many if these are alike; estimated."""
WAITING_TOKENS = 524_288
"""Tokens that may wait; estimated."""
UPLOAD_SECONDS = 60.0
"""How long a client may take to send a request, and to read its answer."""
