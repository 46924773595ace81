#!/usr/bin/env bash
# What `evaluate` leaves behind, on a small phantom: the same files twice, an ensemble of one model with itself, a
# comparison with an earlier evaluation, cross-validation, a learned rule and its reuse.
# usage: evaluate_program.sh BIN_DIR WORK_DIR
set -euo pipefail
bin=$(realpath "$1") work=$(realpath -m "$2")
rm -rf "$work" && mkdir -p "$work" && cd "$work"
failed() { echo "FAILED: $*"; exit 1; }
quietly() { "$bin/$@" >stdout 2>stderr || { cat stdout stderr; failed "$*"; }; }
# number FILE KEY: the first value of the key in a file of JSON.
number() { grep -o "\"$2\": [^,]*" "$1" | head -n 1 | cut -d ' ' -f 2; }
evaluate() { quietly evaluate --data slices --bootstrap 200 "$@"; }

quietly make_phantom --out ct --studies 16 --seed 5 --size 64 --step-mm 4 --prevalence-scale 4
quietly reslice --data ct --out slices --slices 3 --span-mm 8 --size 32
quietly train_resnet --data slices --out run --arch resnet-18 --image-size 32 --epochs 1 --batch-size 4 \
  --test-fraction 0.4 --validation-fraction 0.25

# Twice the same, whole files, a row per slice and study.
evaluate --model run/best --out a
evaluate --model run/best --out b
for file in predictions.csv patients.csv evaluation.json examples.png aggregator.json; do
  cmp "a/$file" "b/$file" || failed "$file differs between two evaluations"
done
slices=$(($(wc -l <a/predictions.csv) - 1)) patients=$(($(wc -l <a/patients.csv) - 1))
((slices == 3 * patients && patients >= 5)) || failed "$slices slices of $patients patients"
grep -q nan a/*.json && failed "evaluation.json holds nan"

# One model twice is one model, and differs from an earlier evaluation of itself by nothing.
evaluate --model run/best --model run/best --out twice --compare a
[[ $(number twice/evaluation.json macro_auroc) == $(number a/evaluation.json macro_auroc) ]] ||
  failed "an ensemble of one model differs from the model"
differences=$(sed -n '/"comparisons"/,$p' twice/evaluation.json | grep '"difference":')
(($(wc -l <<<"$differences") > 100)) || failed "too few differences in the comparison"
grep -vqE ': (null|-?0\.0|-?[0-9.]+e-(0[89]|[1-9][0-9])),?$' <<<"$differences" && failed "a model differs from itself"

# Test-time augmentation changes something; a learned rule is saved, and its reuse gives the same patients.
evaluate --model run/best --out tta --tta 3
cmp -s tta/predictions.csv a/predictions.csv && failed "--tta changed nothing"
evaluate --model run/best --out learned --aggregate learned
evaluate --model run/best --out reused --aggregator learned/aggregator.json
cmp learned/patients.csv reused/patients.csv || failed "a learned rule gives other patients when it is reused"
cmp -s learned/patients.csv a/patients.csv && failed "the learned rule is the mean"

# Two folds: with test and the rest exchanged, every study is somebody's.
mapfile -t studies < <(tail -n +2 slices/manifest.csv | grep -oE '1\.[0-9.]+/' | sort -u | tr -d /)
cp -rL run/best fold1 && cp -rL run/best fold2
list() { printf '"%s",' "$@" | sed 's/,$//'; }
half=$((${#studies[@]} / 2))
first=$(list "${studies[@]:0:half}") second=$(list "${studies[@]:half}")
echo "{\"train\": [$second], \"validation\": [], \"test\": [$first]}" >fold1/split.json
echo "{\"train\": [$first], \"validation\": [], \"test\": [$second]}" >fold2/split.json
evaluate --model fold1 --model fold2 --split out-of-fold --out folds
(($(wc -l <folds/patients.csv) - 1 == ${#studies[@]})) || failed "cross-validation leaves studies out"
evaluate --model run/best --split all --out all
cmp folds/predictions.csv all/predictions.csv || failed "folds of one model differ from the model on all studies"
echo "all as expected"
