"""More than one process, or more than memory holds: files scored block by block, here or on a Ray cluster.

`score_files` is the bulk side; `resift.serving.ray_serve` the online one, and `resift.bulk.ray_data` what a Ray Data
pipeline of your own can use. Neither Ray nor pyarrow is imported before it is used.
"""

from __future__ import annotations

from resift.bulk.job import BulkJob, BulkReport, Columns, Workers
from resift.bulk.run import score_files

__all__ = ["BulkJob", "BulkReport", "Columns", "Workers", "score_files"]
