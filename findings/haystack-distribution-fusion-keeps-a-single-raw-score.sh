#!/usr/bin/env bash
# Haystack's DocumentJoiner, in the mode distribution_based_rank_fusion, rescales the scores of each list to about 0..1, so
# that lists of different kinds can be compared; but a list of one document, or of equal scores, keeps its raw scores. A BM25
# score above 1 then stands above everything from a vector search, however weak the hit. So a question that shares one common
# word ("what") with a single text gets this text first. When a second text has the word too, the first falls behind the
# answer. (A single hit of a vector search, in contrast, keeps its cosine.)
#
# Good guess: a document that has none to compare with gets the middle, .5, as in Qdrant's fusion of the same name, or 1 or 0
# as in others. The reference says that scores are assigned by their distribution in each retriever, and names no exception.
# Seen with: haystack-ai 3.4.1, Python 3.11, Linux. Source: components/joiners/document_joiner.py,
# `_distribution_based_rank_fusion`, `scores_vary`.
# Output seen:
#   1 text with the word: 1.49 Nobody knows what the owl thinks. | 0.67 An adult ticket is 4 euros.
#   2 texts with the word: 0.70 An adult ticket is 4 euros. | 0.68 A group pays 30 euros.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q haystack-ai==3.4.1
cat > "$work/run.py" <<'PYTHON'
from haystack import Document
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

QUESTION, VECTOR = "what costs money?", [1.0, 0.0]
TEXTS = {  # with a vector: the first is the closest to the question
    "An adult ticket is 4 euros.": [1.0, 0.1],
    "A group pays 30 euros.": [1.0, 0.3],
    "Opening hours are nine to five.": [0.5, 1.0],
    "Nobody knows what the owl thinks.": [0.1, 1.0],
}
SECOND = {"Guess what the fox thinks, what it says, and what it wants.": [0.0, 1.0]}


def search(texts: dict[str, list[float]]) -> list[Document]:
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents([Document(content=text, embedding=vector) for text, vector in texts.items()])
    by_words = InMemoryBM25Retriever(store).run(QUESTION)["documents"]
    by_vector = InMemoryEmbeddingRetriever(store).run(VECTOR)["documents"]
    joiner = DocumentJoiner(join_mode="distribution_based_rank_fusion")
    joined = joiner.run([by_words, by_vector])["documents"]
    hits = "1 text" if len(by_words) == 1 else f"{len(by_words)} texts"
    print(f"{hits} with the word:", " | ".join(f"{found.score:.2f} {found.content}" for found in joined[:2]))
    return joined


answer, *_, owl = TEXTS
one, two = search(TEXTS), search(TEXTS | SECOND)
assert one[0].content == owl and one[0].score > 1 > one[1].score
assert two[0].content == answer and two[0].score < 1
PYTHON
HAYSTACK_TELEMETRY_ENABLED=False "$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
