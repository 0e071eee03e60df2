"""How far a long measurement has come, while somebody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resift.cli._output import console

if TYPE_CHECKING:
    from resift._util.progress import Progress


@contextmanager
def bar(what: str = "queries") -> Iterator[Progress]:
    """A bar on stderr while a terminal watches."""
    from rich.progress import Progress

    screen = console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
