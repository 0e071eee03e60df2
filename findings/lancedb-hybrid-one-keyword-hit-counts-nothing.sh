#!/usr/bin/env bash
# In a hybrid search, LanceDB moves the keyword scores to 0..1 before a reranker gets them: the least of the list becomes 0.
# So if a single text has the word that is asked for, its keyword score is 0, as if it had none. LinearCombinationReranker
# then puts it last, also with a weight of 0.8 for the keywords. A second, weaker hit makes the first one count fully, and is
# itself worth nothing. Rare words (an error code, a name, an order number) are what a hybrid search is for.
#
# Good guess: with 0.8 for the keywords, the only text with the word comes first.
# Seen with: lancedb 0.40.0, pyarrow 25.0.0, Python 3.11, Linux.
# Output seen:
#   one hit: place 6 of 6, keyword score 1.54, combined 0.00
#   two hits: places 1 and 7 of 7, keyword scores 1.23 and 0.89, combined 0.86 and 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q lancedb==0.40.0 pyarrow==25.0.0
cat > "$work/run.py" <<'PYTHON'
import sys

import lancedb
from lancedb.index import FTS
from lancedb.rerankers import LinearCombinationReranker

OTHERS = ["apples and pears", "bread and butter", "cheese and wine", "rain and snow", "tea and milk"]
HIT, WEAKER_HIT = "invoice of May", "an invoice and a receipt for the whole year"
database = lancedb.connect(sys.argv[1])


def search(name: str, texts: list[str]) -> list[dict]:
    """Ask for the word `invoice`, beside a vector to which the texts are the nearer the earlier they stand."""
    rows = [{"text": text, "vector": [1.0, float(place)]} for place, text in enumerate(texts)]
    table = database.create_table(name, rows)
    table.create_index("text", config=FTS())
    query = table.search(query_type="hybrid").vector([1.0, 0.0]).text("invoice").limit(10)
    return query.rerank(LinearCombinationReranker(weight=0.2, return_score="all")).to_list()


def place(found: list[dict], text: str) -> int:
    return [row["text"] for row in found].index(text) + 1


def row(found: list[dict], text: str) -> dict:
    return found[place(found, text) - 1]


one = search("one", [*OTHERS, HIT])
two = search("two", [*OTHERS, HIT, WEAKER_HIT])
hit, first, second = row(one, HIT), row(two, HIT), row(two, WEAKER_HIT)
print(
    f"one hit: place {place(one, HIT)} of {len(one)}, keyword score {hit['_score']:.2f}, "
    f"combined {hit['_relevance_score']:.2f}"
)
print(
    f"two hits: places {place(two, HIT)} and {place(two, WEAKER_HIT)} of {len(two)}, keyword scores "
    f"{first['_score']:.2f} and {second['_score']:.2f}, combined {first['_relevance_score']:.2f} and "
    f"{second['_relevance_score']:.2f}"
)
assert place(one, HIT) == len(one) == 6 and hit["_score"] > 1
assert place(two, HIT) == 1 and place(two, WEAKER_HIT) == len(two) == 7
PYTHON
"$work/venv/bin/python" "$work/run.py" "$work/database" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
