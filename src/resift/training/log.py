"""How a run tells its progress: lines of text for a function of the caller's. Nothing here prints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

Log = Callable[[str], None]
"""Called with one line of text at each step of a run."""

logger = logging.getLogger("resift.training")


def log_to_logger(line: str) -> None:
    """Log a line at level INFO: what happens where the caller gives no function."""
    logger.info("%s", line)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Switch off the bar that transformers draws for each checkpoint, amid the lines of the log."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
