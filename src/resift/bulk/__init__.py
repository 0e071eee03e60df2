"""Score files of rows block by block, in this process or on a Ray cluster, also where memory can't hold them.

`score_files` does it. `resift.bulk.ray_data` has a step for a Ray Data pipeline of your own; `resift.serving.ray_serve`
answers requests online. Neither Ray nor pyarrow is imported before it is used.
"""

from __future__ import annotations

from resift.bulk.job import BulkJob, BulkReport, Columns, Workers
from resift.bulk.run import score_files

__all__ = ["BulkJob", "BulkReport", "Columns", "Workers", "score_files"]
