#!/usr/bin/env bash
# LlamaIndex's AveragePrecision and NDCG count a relevant id each time that it is listed. Judged by document, a list of
# chunks names a document once per chunk: then five chunks of one of three right documents have an average precision of 1.67
# and an nDCG of 1.38, more than all three right documents (1.00), and a retriever that repeats itself is the best. Recall
# and precision of the same call count each id once.
#
# Good guess: both are at most 1. The docstrings ask for retrieved document ids in order and say nothing of repeated ones.
# Seen with: llama-index-core 0.14.25, Python 3.11, Linux. Source: evaluation/retrieval/metrics.py, the loops of
# `AveragePrecision.compute` and `NDCG.compute`, which ask only whether an id is expected.
# Output seen (three right documents, five chunks):
#   chunks of one of them  : precision 1.00, recall 0.33, ap 1.67, ndcg 1.38
#   of all three of them   : precision 0.60, recall 1.00, ap 1.00, ndcg 1.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q llama-index-core==0.14.25
cat > "$work/run.py" <<'PYTHON'
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.evaluation.retrieval.metrics import resolve_metrics
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

RIGHT = ["fees", "opening hours", "parking"]


class Closeness(BaseEmbedding):
    """A vector whose similarity with the query's falls with the number in the text."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0, float(text) / 10]

    def _get_query_embedding(self, query: str) -> list[float]:
        return [1.0, 0.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return [1.0, 0.0]


def measure(name: str, documents: list[str]) -> dict[str, float]:
    """Retrieve five chunks, the first of the first document and so on, and measure their documents."""
    chunks = [
        TextNode(text=str(place), relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)})
        for place, document in enumerate(documents)
    ]
    retriever = VectorStoreIndex(chunks, embed_model=Closeness()).as_retriever(similarity_top_k=5)
    found = [hit.node.ref_doc_id for hit in retriever.retrieve("what does a visit cost?")]
    assert found == documents
    values = {}
    for metric in resolve_metrics(["precision", "recall", "ap", "ndcg"]):
        values[metric.metric_name] = metric().compute(expected_ids=RIGHT, retrieved_ids=found).score
    print(f"{name:<23}:", ", ".join(f"{metric} {value:.2f}" for metric, value in values.items()))
    return values


one = measure("chunks of one of them", ["fees"] * 5)
three = measure("of all three of them", [*RIGHT, "history", "imprint"])
assert one["recall"] < three["recall"] == three["ap"] == three["ndcg"] == 1
assert one["ap"] > 1.5 and one["ndcg"] > 1.3
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
