"""Folders that are built once per run, whichever worker needs them first."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


class BuildOnce:
    """Builds folders under `root`, which all workers of a run share.

    The first that needs a folder builds it under another path, while the others wait, and renames it when it is
    complete. So a worker that dies leaves no half of a folder, and the system frees its lock. No test may change the
    files of such a folder, or need the path that `build` wrote them under.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, name: str, build: Callable[[Path], object]) -> Path:
        """Return the folder of this name (its parts may be separated by `/`) that `build(folder)` has filled."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.exists():
                draft = self.root / f"draft-{uuid.uuid4().hex}" / target.name
                draft.mkdir(parents=True)
                build(draft)
                draft.rename(target)
                draft.parent.rmdir()
        return target
