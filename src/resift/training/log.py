"""How a run tells its progress: lines of text for a function of the caller's. Nothing here prints."""

from __future__ import annotations

import logging
from collections.abc import Callable

Log = Callable[[str], None]
"""Called with one line of text at each step of a run."""

logger = logging.getLogger("resift.training")


def log_to_logger(line: str) -> None:
    """Log a line at level INFO: what happens where the caller gives no function."""
    logger.info("%s", line)
