#!/usr/bin/env bash
# LlamaIndex's MMR mode compares a candidate with the last chosen node only, not with all that were chosen. So with
# near-equal nodes of two topics it goes back and forth between them and brings the copies that it was asked to avoid: after
# "fee" and "hours", a copy of "fee" counts as new, since it differs from "hours". A third topic with a lower similarity
# doesn't come.
#
# Good guess: maximal marginal relevance takes the greatest similarity to anything chosen (Carbonell and Goldstein 1998), as
# langchain-core does. The docstring says that similarity to previous results is discounted, in the plural.
# Seen with: llama-index-core 0.14.25, langchain-core 1.8.3, numpy 2.4.6, Python 3.11, Linux. Source:
# indices/query/embedding_utils.py, `overlap_with_recent` in `get_top_k_mmr_embeddings`, which the default store uses and
# llama-index-vector-stores-chroma too. Upstream: run-llama/llama_index#22684.
# Output seen:
#   LlamaIndex: fee | hours | fee (copy) | hours (copy)
#   LangChain: fee | hours | parking | fee (copy)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q llama-index-core==0.14.25 langchain-core==1.8.3 numpy==2.4.6
cat > "$work/run.py" <<'PYTHON'
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode

QUESTION = "where does it say what a visit costs, and when?"
VECTORS = {  # of length 1; copies have a cosine of .999 and more, topics of .53 at most
    QUESTION: [1.0, 0.0, 0.0, 0.0],
    "fee": [0.75, 0.66, 0.0, 0.0],
    "fee (copy)": [0.745, 0.667, 0.0, 0.0],
    "fee (second copy)": [0.74, 0.673, 0.0, 0.0],
    "hours": [0.7, 0.0, 0.714, 0.0],
    "hours (copy)": [0.695, 0.0, 0.719, 0.0],
    "parking": [0.5, 0.0, 0.0, 0.866],
}
TEXTS = [text for text in VECTORS if text != QUESTION]


class GivenVectors(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [VECTORS[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return VECTORS[text]


class GivenVectorsToo(BaseEmbedding):
    def _get_text_embedding(self, text: str) -> list[float]:
        return VECTORS[text]

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return VECTORS[query]


def show(name: str, texts: list[str]) -> list[str]:
    print(f"{name}:", " | ".join(texts))
    return texts


index = VectorStoreIndex([TextNode(text=text) for text in TEXTS], embed_model=GivenVectorsToo())
retriever = index.as_retriever(
    vector_store_query_mode="mmr", similarity_top_k=4, vector_store_kwargs={"mmr_threshold": 0.5}
)
by_llama_index = show("LlamaIndex", [hit.text for hit in retriever.retrieve(QUESTION)])
store = InMemoryVectorStore.from_texts(TEXTS, GivenVectors())
found = store.max_marginal_relevance_search(QUESTION, k=4, fetch_k=len(TEXTS), lambda_mult=0.5)
by_langchain = show("LangChain", [document.page_content for document in found])
assert by_langchain[:3] == ["fee", "hours", "parking"]
assert by_llama_index == ["fee", "hours", "fee (copy)", "hours (copy)"]
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
