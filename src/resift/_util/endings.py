"""What the ending of a file's name says of its kind."""

from __future__ import annotations

import os
from mimetypes import MimeTypes
from pathlib import Path


def has_other_ending(path: str | os.PathLike[str], kind: str) -> bool:
    """Return whether a file's name has the ending of another kind of file than the one that is to be written.

    A name without an ending is taken as it is, also one with a dot inside.

    Args:
        path: The file.
        kind: Its media type.

    >>> [has_other_ending(name, "text/html") for name in ("a.html", "a.HTM", "report-v1.2", "a.svg", "a.html.gz")]
    [False, False, False, True, True]
    """
    known = MimeTypes()  # Python's own table: this machine's may know `.2` as a page of a manual
    ending, packing = known.guess_type(f"file{Path(path).suffix}")
    return packing is not None or ending not in (None, kind)
