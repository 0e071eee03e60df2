"""The rerank service on a real server, in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resift.serving.asgi import ServiceOptions, application
from resift.serving.server import make_server
from resift.serving.service import RerankService


@contextmanager
def listening(service: RerankService, max_documents: int = 10, **options: Any) -> Iterator[str]:
    """Run the application on a server of its own and give its URL, for resift's own client."""
    limits = ServiceOptions(max_documents, max_body=100_000, **options)
    server = make_server(application(service, limits), drain_seconds=0, upload_seconds=limits.upload_seconds)
    with socket.create_server(("127.0.0.1", 0)) as port:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}"  # the socket listens already, so an early request waits
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
