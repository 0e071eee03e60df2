#!/usr/bin/env bash
# Four retrieval metrics of torchmetrics (MAP, MRR, precision and recall) count a relevant document as not relevant if its
# score is 0 or less. nDCG, hit rate and R-precision of the same package count it. Cross-encoders give logits, and of a hard
# query all of them may be negative: a perfect order then has a MAP, an MRR and a recall of 0, beside an nDCG of 1. A model
# that gives the same order by probabilities has 1 in each. So comparing a model with a sigmoid and one without measures the
# sigmoid.
#
# Good guess: such metrics depend on the order alone. RetrievalMAP's page asks for "a float tensor" of predictions "from a
# model output"; where the functional form says "estimated probabilities", no rule for values of 0 or less is given, and
# nothing is checked, unlike the classification metrics, which take a sigmoid of what lies outside 0..1.
# Seen with: torchmetrics 1.9.0, torch 2.13.0, Python 3.11, Linux. Source: functional/retrieval/average_precision.py, the
# `torch.where` over `preds > 0`, and its three siblings.
# Output seen:
#   scores 7.00 to -1.00: MAP 1.00, MRR 1.00, Precision 0.60, Recall 1.00, NormalizedDCG 1.00, HitRate 1.00, RPrecision 1.00
#   scores 1.00 to 0.27: MAP 1.00, MRR 1.00, Precision 0.60, Recall 1.00, NormalizedDCG 1.00, HitRate 1.00, RPrecision 1.00
#   scores 3.00 to -5.00: MAP 1.00, MRR 1.00, Precision 0.40, Recall 0.67, NormalizedDCG 1.00, HitRate 1.00, RPrecision 1.00
#   scores -1.00 to -9.00: MAP 0.00, MRR 0.00, Precision 0.00, Recall 0.00, NormalizedDCG 1.00, HitRate 1.00, RPrecision 1.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 torchmetrics==1.9.0
cat > "$work/run.py" <<'PYTHON'
import torch
from torchmetrics import retrieval

ORDER_ALONE = ("NormalizedDCG", "HitRate", "RPrecision")
MOVED_BY_SIGN = ("MAP", "MRR", "Precision", "Recall")
logits = torch.tensor([7.0, 5.0, 3.0, 1.0, -1.0])  # of five documents of one query, in the best order
relevant = torch.tensor([1, 1, 1, 0, 0])
query = torch.zeros(5, dtype=torch.long)


def measure(scores: torch.Tensor) -> dict[str, float]:
    values = {}
    for name in MOVED_BY_SIGN + ORDER_ALONE:
        metric = getattr(retrieval, f"Retrieval{name}")()
        values[name] = float(metric(scores, relevant, indexes=query))
    shown = ", ".join(f"{name} {value:.2f}" for name, value in values.items())
    print(f"scores {float(scores[0]):.2f} to {float(scores[-1]):.2f}: {shown}")
    return values


right, by_sigmoid = measure(logits), measure(torch.sigmoid(logits))
some_negative, all_negative = measure(logits - 4), measure(logits - 8)
assert right == by_sigmoid and right["MAP"] == right["Recall"] == 1
assert 0.6 < some_negative["Recall"] < 0.7
for name in MOVED_BY_SIGN:
    assert all_negative[name] == 0, name
for name in ORDER_ALONE:
    assert all_negative[name] == some_negative[name] == 1, name
PYTHON
"$work/venv/bin/python" "$work/run.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
