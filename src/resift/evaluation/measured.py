"""What reports of measurements have in common: each can be shown as a page."""

from __future__ import annotations

import os

from resift._util.arguments import whole_number
from resift.evaluation.collection import Collection
from resift.report.page import written

QUERIES_SHOWN = 40  # of a page


class MeasuredReport:
    """A report of `evaluate`, `measure_depths` or `measure_thresholds`."""

    __slots__ = ()

    def to_html(
        self, collection: Collection, path: str | os.PathLike[str] | None = None, *, queries: int = QUERIES_SHOWN
    ) -> str:
        """Return a page with figures, plots, and the queries that were won and lost.

        It is one file, which asks for nothing.

        Args:
            collection: The collection that was measured.
            path: A file to write it to as well.
            queries: How many queries are shown, half of them those that gained most, half those that lost most; the
                others are counted.

        Raises:
            InputError: `queries` is negative, or this is another collection.
            OSError: The file can't be written.
        """
        from resift.evaluation.html import report_page  # not at the top: measuring needs none of it

        return written(report_page(self, collection, whole_number("queries", queries, 0)), path)
