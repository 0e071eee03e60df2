"""For authors of adapters to frameworks: what both adapters of this project are built from."""

from __future__ import annotations

from resift._util.lazy import Lazy
from resift._util.secret import ApiKey
from resift._util.worker import Worker
from resift.models.options import ModelOptions

__all__ = ["ApiKey", "Lazy", "ModelOptions", "Worker"]
