#!/usr/bin/env bash
# In LangChain's EnsembleRetriever and in LlamaIndex's QueryFusionRetriever (mode reciprocal_rerank), a text that one list
# holds several times counts once for every copy: both know a document by its text (LlamaIndex: text and metadata), and add
# 1/(60 + rank) each time they meet it. Two copies at places 3 and 4 of two lists already beat the answer that is first in
# both. Texts that occur often (a page's footer, a licence, a warning that stands in each chapter) are what a store has in
# copies; they get on top of every fused list that they touch, as one document, so that no copy is seen.
#
# Good guess: a document has one rank in each list, its best one, as in the paper that both cite (Cormack, Clarke, Büttcher
# 2009). The docstring of an inner method of LangChain's says that the lists hold unique items; nobody makes them so, and the
# pages on the retrievers say nothing of it. Retrievers do return copies: they know them by their ids.
# Seen with: langchain-classic 1.0.8, langchain-core 1.8.3, llama-index-core 0.14.25, Python 3.11, Linux. Source:
# retrievers/ensemble.py, `weighted_reciprocal_rank`; retrievers/fusion_retriever.py, `_reciprocal_rerank_fusion`.
# Output seen:
#   each list: answer | other text | footer | footer
#   LangChain: footer | answer | other text
#   LlamaIndex: footer 0.064 | answer 0.033 | other text 0.033
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q langchain-classic==1.0.8 langchain-core==1.8.3 llama-index-core==0.14.25
cat > "$work/run.py" <<'PYTHON'
from langchain_classic.retrievers import EnsembleRetriever
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode

TEXTS = ["answer", "other text", "footer", "footer"]
VECTORS = {"answer": [1.0, 0.0], "other text": [0.9, 0.44], "footer": [0.8, 0.6], "question": [1.0, 0.0]}


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


documents = [Document(page_content=text, id=str(place)) for place, text in enumerate(TEXTS)]
stores = [InMemoryVectorStore(GivenVectors()) for _ in range(2)]
for store in stores:
    store.add_documents(documents)
lists = [store.as_retriever(search_kwargs={"k": 4}) for store in stores]
single = [document.page_content for document in lists[0].invoke("question")]
print("each list:", " | ".join(single))
ensemble = [document.page_content for document in EnsembleRetriever(retrievers=lists).invoke("question")]
print("LangChain:", " | ".join(ensemble))

nodes = [TextNode(text=text, id_=str(place)) for place, text in enumerate(TEXTS)]
indexes = [VectorStoreIndex(nodes, embed_model=GivenVectorsToo()) for _ in range(2)]
fused = QueryFusionRetriever(
    [index.as_retriever(similarity_top_k=4) for index in indexes],
    llm=MockLLM(), mode="reciprocal_rerank", num_queries=1, use_async=False, similarity_top_k=4,
).retrieve("question")
print("LlamaIndex:", " | ".join(f"{node.text} {node.score:.3f}" for node in fused))
assert single == TEXTS
assert ensemble == [node.text for node in fused] == ["footer", "answer", "other text"]
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
