"""resift for LanceDB: put what a table's search found in the order a local cross-encoder gives it."""

from importlib.metadata import PackageNotFoundError, version

from resift_lancedb.reranker import ResiftReranker

try:
    __version__ = version("resift-lancedb")
except PackageNotFoundError:  # a source tree on the path, not an installed distribution
    __version__ = ""

__all__ = ["ResiftReranker", "__version__"]
