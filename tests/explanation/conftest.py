"""What several tests of explanations use."""

from __future__ import annotations

import pytest

from resift import Reranker
from resift.testing import OverlapScorer


@pytest.fixture(scope="session")
def overlap() -> Reranker:
    return Reranker(OverlapScorer())
