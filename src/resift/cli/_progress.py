"""A progress bar for commands that take long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resift.cli._output import console

if TYPE_CHECKING:
    from resift._util.progress import Progress


@contextmanager
def bar(items: str = "queries") -> Iterator[Progress]:
    """Show a bar on stderr, where that is a terminal."""
    from rich.progress import Progress

    screen = console(stderr=True)
    if not screen.is_terminal:  # rich before 15 ends a bar that is switched off with an empty line
        yield lambda *_: None
        return
    with Progress(console=screen, transient=True) as display:
        task = display.add_task(items, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)
