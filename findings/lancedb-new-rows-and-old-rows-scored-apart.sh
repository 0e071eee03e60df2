#!/usr/bin/env bash
# LanceDB's full-text search finds rows that were added after the index was made, but scores them by other statistics: the
# new rows by those of all rows, the indexed ones still by those of the day of the index. Both are merged by score. So a word
# that was rare then, and stands in many new rows now, is worth more in an old row: an old text that names it once, in
# passing, stands above each new text that is about it, until `table.optimize()`. What has just happened is what people
# search for.
#
# Good guess: rows outside the index cost time, not rank. The page on incremental indexing says that results of the index are
# combined with an exhaustive search of the new data, so that all data are covered, and names latency as the price.
# Seen with: lancedb 0.40.0, pyarrow 25.0.0, Python 3.11, Linux.
# Output seen:
#   30 new rows, before optimize: old text at place 1, score 4.17, new texts 3.70
#   30 new rows, after optimize: old text at place 31, score 1.85, new texts 3.70
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q lancedb==0.40.0 pyarrow==25.0.0
cat > "$work/run.py" <<'PYTHON'
import sys

import lancedb
from lancedb.index import FTS

IN_PASSING = "a long note that names the outage once among many other words that have no use for anybody here"
ABOUT_IT = "outage report: how the outage began and the outage ended"
database = lancedb.connect(sys.argv[1])
old = [f"common words number {number} with apples and pears" for number in range(300)]
table = database.create_table("notes", [{"text": text} for text in [*old, IN_PASSING]])
table.create_index("text", config=FTS())
table.add([{"text": ABOUT_IT}] * 30)


def search(state: str) -> tuple[int, float, float]:
    found = table.search("outage", query_type="fts").limit(40).to_list()
    assert len(found) == 31
    place = [row["text"] for row in found].index(IN_PASSING)
    scores = {row["text"]: row["_score"] for row in found}
    print(
        f"30 new rows, {state}: old text at place {place + 1}, score {scores[IN_PASSING]:.2f}, "
        f"new texts {scores[ABOUT_IT]:.2f}"
    )
    return place + 1, scores[IN_PASSING], scores[ABOUT_IT]


place, old_score, new_score = search("before optimize")
table.optimize()
place_after, old_after, new_after = search("after optimize")
assert place == 1 and old_score > new_score
assert place_after == 31 and old_after < new_after
PYTHON
"$work/venv/bin/python" "$work/run.py" "$work/database" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
