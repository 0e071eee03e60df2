#!/usr/bin/env bash
# Chroma's upsert (and update) of an id that is there replaces the text and the vector, but merges the metadata: keys that
# the new record doesn't have stay with their old values. So LangChain's `add_documents(ids=...)` and `update_document`, an
# upsert and an update, leave a record that nobody wrote: a final text that is still a "draft" by its metadata, is found by a
# filter for drafts and hidden by one against them. A new version with no metadata at all keeps all of the old. `delete` and
# then `add` replaces.
#
# Good guess: after an upsert the record is the one that was given, as in other stores (and as it is for the text, the vector
# and a new id). Chroma's page on updating says only that items with existing ids are updated; the docstrings of
# langchain-chroma say "update a document".
# Seen with: chromadb 1.5.9, langchain-chroma 1.1.0, langchain-core 1.8.3, Python 3.11, Linux. Source:
# langchain_chroma/vectorstores.py, `add_texts` and `update_documents`, which call `Collection.upsert` and
# `Collection.update`.
# Output seen:
#   add_documents of the same id: final text {'status': 'draft', 'year': 2026}
#   update_document: final text {'status': 'draft', 'year': 2026}
#   add_documents without metadata: final text {'status': 'draft'}
#   delete, then add_documents: final text {'year': 2026}
#   drafts found: 3 of 4
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q chromadb==1.5.9 langchain-chroma==1.1.0 langchain-core==1.8.3
cat > "$work/run.py" <<'PYTHON'
import chromadb
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

store = Chroma("notes", DeterministicFakeEmbedding(size=8), client=chromadb.EphemeralClient())
DRAFT = Document(page_content="first text", metadata={"status": "draft"})
FINAL = Document(page_content="final text", metadata={"year": 2026})
store.add_documents([DRAFT] * 4, ids=["1", "2", "3", "4"])

store.add_documents([FINAL], ids=["1"])
store.update_document("2", FINAL)
store.add_documents([Document(page_content="final text")], ids=["3"])
store.delete(["4"])
store.add_documents([FINAL], ids=["4"])

names = ("add_documents of the same id", "update_document", "add_documents without metadata")
names += ("delete, then add_documents",)
records = []
for id_, name in zip("1234", names):
    (document,) = store.get_by_ids([id_])
    records.append(dict(sorted(document.metadata.items())))
    print(f"{name}:", document.page_content, records[-1])
    assert document.page_content == "final text"
drafts = store.similarity_search("final text", k=4, filter={"status": "draft"})
print(f"drafts found: {len(drafts)} of 4")
assert records == [{"status": "draft", "year": 2026}] * 2 + [{"status": "draft"}, {"year": 2026}]
assert sorted(document.id for document in drafts) == ["1", "2", "3"]
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
