"""resift for LangChain: put retrieved documents in the order a local cross-encoder gives them."""

from importlib.metadata import PackageNotFoundError, version

from langchain_resift.compressor import ResiftRerank
from langchain_resift.cross_encoder import ResiftCrossEncoder
from langchain_resift.embeddings import ResiftEmbeddings
from langchain_resift.retriever import ResiftRetriever
from langchain_resift.tool import search_tool

try:
    __version__ = version("langchain-resift")
except PackageNotFoundError:  # a source tree on the path, not an installed distribution
    __version__ = ""

__all__ = ["ResiftCrossEncoder", "ResiftEmbeddings", "ResiftRerank", "ResiftRetriever", "__version__", "search_tool"]
