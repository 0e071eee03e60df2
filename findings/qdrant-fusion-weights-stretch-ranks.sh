#!/usr/bin/env bash
# In Qdrant's weighted reciprocal rank fusion a weight doesn't multiply what a list counts. It divides the ranks: a document
# at rank r counts 1/(r / weight + k - 1). With the usual k of 60, the head of a list counts nearly the same whatever its
# weight: 87 % at a weight of 0.1 and 38 % at 0.01. So a document that is last of 20 in the list that matters, and first in
# one with a weight of 0.01, is the first of all, as if both had the same weight. The weights' common factor counts too: 1
# and 0.1 give another order than 10 and 1. Only a weight of 0 silences a list.
#
# Good guess: a weighted sum, as in LangChain's EnsembleRetriever, where a list with a weight of 0.01 settles ties at most.
# The documentation of the clients' `weights` says that a higher weight gives more influence on the final ranking.
# Seen with: qdrant-client 1.20.0 (local mode), langchain-classic 1.0.8, langchain-core 1.8.3, Python 3.11, Linux. Source:
# qdrant_client/hybrid/fusion.py, `compute_score`; the published source of the server's engine (qdrant-edge 0.7.1) has the
# same formula.
# Output seen (places of the document that is last of 20 in the first list, and first in the second):
#   Qdrant, k 60: weights 1 and 1: 1, 1 and 0.1: 1, 1 and 0.01: 1, 1 and 0: 20
#   LangChain, k 60: weights 1 and 1: 1, 1 and 0.1: 11, 1 and 0.01: 19, 1 and 0: 20
#   Qdrant, k 2: weights 1 and 0.1: 7, 10 and 1: 3
#   LangChain, k 2: weights 1 and 0.1: 11, 10 and 1: 11
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q qdrant-client==1.20.0 langchain-classic==1.0.8 langchain-core==1.8.3
cat > "$work/run.py" <<'PYTHON'
from collections.abc import Callable

from langchain_classic.retrievers import EnsembleRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from qdrant_client import QdrantClient, models

FIRST = list(range(20))
SECOND = [19, *range(20, 39)]  # shares one document with the first list: the last one there is the first one here

client = QdrantClient(":memory:")
dot = models.VectorParams(size=1, distance=models.Distance.DOT)
client.create_collection("lists", vectors_config={"first": dot, "second": dot})
for number in sorted({*FIRST, *SECOND}):
    scores = {
        name: [100.0 - found.index(number) if number in found else 0.0]
        for name, found in (("first", FIRST), ("second", SECOND))
    }
    client.upsert("lists", [models.PointStruct(id=number, vector=scores)])
PREFETCH = [models.Prefetch(query=[1.0], using=name, limit=20) for name in ("first", "second")]


class Listed(BaseRetriever):
    numbers: list[int]

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return [Document(page_content=str(number)) for number in self.numbers]


Place = Callable[[tuple[float, float], int], int]


def place_by_qdrant(weights: tuple[float, float], k: int) -> int:
    fusion = models.RrfQuery(rrf=models.Rrf(k=k, weights=list(weights)))
    found = client.query_points("lists", prefetch=PREFETCH, query=fusion, limit=40).points
    return [point.id for point in found].index(19) + 1


def place_by_langchain(weights: tuple[float, float], k: int) -> int:
    retrievers = [Listed(numbers=FIRST), Listed(numbers=SECOND)]
    found = EnsembleRetriever(retrievers=retrievers, weights=list(weights), c=k).invoke("q")
    return [document.page_content for document in found].index("19") + 1


def show(name: str, place: Place, pairs: list[tuple[float, float]], k: int) -> list[int]:
    places = [place(weights, k) for weights in pairs]
    listed = ", ".join(f"{one:g} and {other:g}: {found}" for (one, other), found in zip(pairs, places))
    print(f"{name}, k {k}: weights {listed}")
    return places


PAIRS = [(1.0, 1.0), (1.0, 0.1), (1.0, 0.01), (1.0, 0.0)]
assert show("Qdrant", place_by_qdrant, PAIRS, 60) == [1, 1, 1, 20]
assert show("LangChain", place_by_langchain, PAIRS, 60) == [1, 11, 19, 20]
SAME_RATIO = [(1.0, 0.1), (10.0, 1.0)]
one, other = show("Qdrant", place_by_qdrant, SAME_RATIO, 2)
assert one > other
one, other = show("LangChain", place_by_langchain, SAME_RATIO, 2)
assert one == other
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
