#!/usr/bin/env bash
# torchmetrics' RetrievalMAP(top_k=K) divides by the number of relevant documents among the first K, not by all relevant
# ones, nor by the lesser of these and K. What was missed costs nothing, and a further relevant document below the first
# place lowers the value: a list that has one of three relevant documents is "perfect", and one that has two of them is
# worse. A model, or a number of candidates, that is chosen by it is chosen for finding less. Without top_k it is the usual
# average precision, as all documents are in the list.
#
# Good guess: MAP@K is trec_eval's (ir_measures AP@K), or at least never falls when a wrong document becomes a relevant one.
# The page of RetrievalMAP says of top_k only that no more than the first K elements are considered.
# Seen with: torchmetrics 1.9.0, torch 2.13.0, ir_measures 0.4.3, Python 3.11, Linux. Source:
# functional/retrieval/average_precision.py, the mean over the positions of what was found.
# Output seen (three relevant documents):
#   relevant at places 1      : torchmetrics 1.000, ir_measures 0.333
#   relevant at places 1, 4   : torchmetrics 0.750, ir_measures 0.500
#   relevant at places 1, 4, 5: torchmetrics 0.700, ir_measures 0.700
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 torchmetrics==1.9.0 ir_measures==0.4.3
cat > "$work/run.py" <<'PYTHON'
import ir_measures
import torch
from ir_measures import AP
from torchmetrics.retrieval import RetrievalMAP

DEPTH, DOCUMENTS, RELEVANT = 5, 10, 3


def measure(places: list[int]) -> tuple[float, float]:
    """Return both libraries' MAP@5 of one query; the relevant documents that are not at `places` come last."""
    missed = range(DOCUMENTS - RELEVANT + len(places) + 1, DOCUMENTS + 1)
    judged = [int(place in places or place in missed) for place in range(1, DOCUMENTS + 1)]
    scores = [1 - place / 100 for place in range(DOCUMENTS)]
    by_torchmetrics = RetrievalMAP(top_k=DEPTH)(
        torch.tensor(scores), torch.tensor(judged), indexes=torch.zeros(DOCUMENTS, dtype=torch.long)
    )
    qrels = {"q": {str(place): grade for place, grade in enumerate(judged)}}
    run = {"q": {str(place): score for place, score in enumerate(scores)}}
    by_ir_measures = ir_measures.calc_aggregate([AP @ DEPTH], qrels, run)[AP @ DEPTH]
    shown = ", ".join(map(str, places))
    print(f"relevant at places {shown:<7}: torchmetrics {float(by_torchmetrics):.3f}, ir_measures {by_ir_measures:.3f}")
    return float(by_torchmetrics), by_ir_measures


(one, usual_one), (two, usual_two), (three, usual_three) = measure([1]), measure([1, 4]), measure([1, 4, 5])
assert usual_one < usual_two < usual_three
assert one == 1 and one > two > three
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
