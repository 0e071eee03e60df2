"""Every test runs offline: sockets reach this machine alone, and the hub is off before anything is imported."""

from __future__ import annotations

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "ANONYMIZED_TELEMETRY": "False"}

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_socket import enable_socket, socket_allow_hosts

from resift import Reranker


@pytest.fixture(autouse=True)
def offline() -> Iterator[None]:
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(scope="session")
def bundled() -> Reranker:
    return Reranker(long_documents="max_window")


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """architecture → its random-weight model's folder, built once per session."""
    import random_models

    built: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in built:
            built[architecture] = random_models.build(
                architecture, tmp_path_factory.mktemp(architecture) / architecture
            )
        return built[architecture]

    return folder


@pytest.fixture(scope="session")
def exported(saved: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """architecture → the same model exported to ONNX, once per session."""
    from resift.export.pair import export_model

    built: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in built:
            built[architecture] = tmp_path_factory.mktemp("onnx") / architecture
            export_model(str(saved(architecture)), built[architecture])
        return built[architecture]

    return folder
