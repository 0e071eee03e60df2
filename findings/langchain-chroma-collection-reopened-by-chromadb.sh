#!/usr/bin/env bash
# A collection that langchain-chroma filled keeps no embedding function. Whoever opens it again with chromadb alone queries
# it with chromadb's default function: vectors of another model are compared with those that are stored, without an error or
# a warning wherever both have the same number of dimensions (384 is that of the default and of many small models).
#
# Good guess: the collection remembers what filled it (chromadb keeps the function since 1.0), or get_collection refuses.
# Seen with: chromadb 1.5.9, langchain-chroma 1.1.0, langchain-core 1.8.3, Python 3.11, Linux.
# Output seen:
#   stored function: None
#   function that answers: DefaultEmbeddingFunction
#   right text first: by the store 20 of 20, by chromadb 2 of 20
#
# The default function downloads its model at the first query. Here a stand-in takes its place, which gives each text a
# vector of its own, as another model would.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q chromadb==1.5.9 langchain-chroma==1.1.0 langchain-core==1.8.3
cat > "$work/run.py" <<'PYTHON'
import sys

import chromadb
from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2
from langchain_chroma import Chroma
from langchain_core.embeddings import DeterministicFakeEmbedding

folder = sys.argv[1]
texts = [f"note number {number}" for number in range(20)]
model = DeterministicFakeEmbedding(size=384)  # equal texts have equal vectors
store = Chroma(collection_name="notes", persist_directory=folder, embedding_function=model)
store.add_texts(texts)
by_store = sum(store.similarity_search(text, k=1)[0].page_content == text for text in texts)
del store


class OtherModel:
    embed_documents = DeterministicFakeEmbedding(size=384).embed_documents


def other_vectors(self, input):
    return OtherModel.embed_documents([f"as another model reads it: {text}" for text in input])


ONNXMiniLM_L6_V2.__call__ = other_vectors
collection = chromadb.PersistentClient(folder).get_collection("notes")
found = collection.query(query_texts=texts, n_results=1)
by_chromadb = sum(documents == [text] for documents, text in zip(found["documents"], texts))
print("stored function:", collection.configuration_json.get("embedding_function"))
print("function that answers:", type(collection._embedding_function).__name__)
print(f"right text first: by the store {by_store} of 20, by chromadb {by_chromadb} of 20")
assert collection.configuration_json.get("embedding_function") is None
assert type(collection._embedding_function).__name__ == "DefaultEmbeddingFunction"
assert by_store == 20 and by_chromadb < 10
PYTHON
"$work/venv/bin/python" "$work/run.py" "$work/db" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
