#!/usr/bin/env bash
# LangChain's EmbeddingsRedundantFilter drops, of two near-equal documents, the one that stands first: the better one
# wherever the list is ordered by relevance, as a retriever's is. So the best hit of three versions of a text leaves its
# place at the top, the last version stays, at its own low place, and a cut to the first few after the filter (or a
# reranker's list of candidates) loses the answer altogether. Nothing says so: the number of documents is right.
#
# Good guess: the first one stays, as with every other removal of copies. The comment in the source says that the second
# document of a pair is dropped; but the pairs come from the lower triangle of the similarities, in which the row, "first",
# is the later document.
# Seen with: langchain-community 0.4.2, langchain-core 1.8.3, Python 3.11, Linux. Source:
# document_transformers/embeddings_redundant_filter.py, `_filter_similar_embeddings`. langchain-classic exports the class
# from here.
# Output seen:
#   retrieved: the fee is 4 euros (2026) | the fee is 4 euros (2025) | opening hours | parking | the fee is 4 euros (2019)
#   filtered: opening hours | parking | the fee is 4 euros (2019)
#   best two: opening hours | parking
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q langchain-community==0.4.2 langchain-core==1.8.3
cat > "$work/run.py" <<'PYTHON'
from langchain_community.document_transformers import EmbeddingsRedundantFilter
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

TEXTS = {  # the closer to (1, 0, 0), the better for the question; the three fees are near-equal
    "the fee is 4 euros (2026)": [0.80, 0.60, 0.00],
    "the fee is 4 euros (2025)": [0.79, 0.61, 0.00],
    "opening hours": [0.75, 0.00, 0.66],
    "parking": [0.70, -0.71, 0.00],
    "the fee is 4 euros (2019)": [0.69, 0.72, 0.00],
}


class GivenVectors(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [TEXTS[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [1.0, 0.0, 0.0]


def show(name: str, documents: list) -> list[str]:
    contents = [document.page_content for document in documents]
    print(f"{name}:", " | ".join(contents))
    return contents


store = InMemoryVectorStore.from_texts(list(TEXTS), GivenVectors())
found = store.similarity_search("what does it cost?", k=5)
kept = EmbeddingsRedundantFilter(embeddings=GivenVectors(), similarity_threshold=0.95).transform_documents(found)
retrieved, filtered = show("retrieved", found), show("filtered", list(kept))
show("best two", list(kept)[:2])
assert retrieved == list(TEXTS)
assert filtered == ["opening hours", "parking", "the fee is 4 euros (2019)"]
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
