"""Every test runs offline."""

from __future__ import annotations

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "False", "HAYSTACK_TELEMETRY_ENABLED": "False"}

from collections.abc import Iterator

import pytest
from haystack import Document
from pytest_socket import enable_socket, socket_allow_hosts


@pytest.fixture(autouse=True)
def offline() -> Iterator[None]:
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture
def documents() -> list[Document]:
    """Overlap with "red fox": none, one word, both words."""
    return [
        Document(content="a blue whale", id="whale", meta={"source": "sea"}),
        Document(content="a red bus", id="bus", meta={"source": "town"}),
        Document(content="the red fox", id="fox", meta={"source": "wood"}),
    ]
