#!/usr/bin/env bash
# `predict` on a phantom with trained models: the patients of `evaluate` and of `train_study`, runs that were moved, and a batch
# that is killed with kill -9 at random moments and ends with the files of one that nothing disturbed.
# usage: predict_program.sh BIN_DIR WORK_DIR
set -euo pipefail
bin=$(realpath "$1") work=$(realpath -m "$2")
rm -rf "$work" && mkdir -p "$work" && cd "$work"
RANDOM=11
failed() { echo "FAILED: $*" >&2; exit 1; }
quietly() { "$bin/$@" >stdout 2>stderr || { cat stdout stderr; failed "$*"; }; }

# agreeing PREDICTIONS PATIENTS: how many patients of an evaluation have the same probabilities in predict's table.
agreeing() {
  local patients
  patients=$(awk -F, '
    NR == FNR { if (FNR == 1) for (i = 1; i <= NF; ++i) name[i] = $i; else for (i = 1; i <= NF; ++i) row[$1, name[i]] = $i; next }
    FNR == 1 { for (i = 1; i <= NF; ++i) column[i] = $i; next }
    {
      ++patients
      for (i = 1; i <= NF; ++i) if (sub("_probability", "", column[i]) || probability[i]) {
        probability[i] = 1
        difference = $i - row[$1, column[i]]
        if (row[$1, column[i]] == "" || difference > 1e-6 || difference < -1e-6) { print "differs: " $1 " " column[i]; differs = 1; exit }
      }
    }
    END { if (!differs) print patients " patients" }' "$1" "$2")
  [[ $patients == *patients && ${patients%% *} -ge 3 ]] || failed "$1 and $2: $patients"
  echo "$patients"
}

quietly make_phantom --out ct --studies 12 --seed 5 --size 64 --step-mm 3 --prevalence-scale 4
quietly reslice --data ct --out slices --slices 5 --span-mm 16 --size 40
quietly train_resnet --data slices --out run --arch resnet-18 --image-size 32 --epochs 2 --batch-size 8 \
  --test-fraction 0.3 --validation-fraction 0.3

# A learned rule, which lies beside the model from here on, and its probabilities, from the slices of before.
quietly evaluate --model run/best --data slices --out learned --aggregate learned --bootstrap 0
cp -rL run/best model && cp learned/aggregator.json model/
quietly predict --model model --studies ct --out whole --secondary-capture
[[ $(tail -n 1 stdout) == "Research software, not a medical device"* ]] || failed "the last line is not the notice"
patients=$(agreeing whole/predictions.csv learned/patients.csv)
(($(wc -l <whole/submission.csv) == 12 * 8 + 1)) || failed "submission.csv has not eight rows per study"

# A study model, with the probabilities of its own evaluation; then all runs elsewhere, and only the study model.
quietly train_study --slice-model run/best --data slices --out study --epochs 3 --bootstrap 0
quietly predict --model study/best --studies ct --out of-study
studies=$(agreeing of-study/predictions.csv study/evaluation/patients.csv)
mkdir runs alone && mv run study runs && cp -rL runs/study/best alone/model
quietly predict --model runs/study/best --studies ct --out nearby
if "$bin/predict" --model alone/model --studies ct --out none 2>stderr; then failed "a slice model is missing, but predicts"; fi
grep -q 'is missing; name where it is now with --slice-model DIR' stderr || { cat stderr; failed "no remedy is named"; }
quietly predict --model alone/model --slice-model runs/run/best --studies ct --out named
for folder in nearby named; do
  diff -r -x predictions.json of-study "$folder" || failed "$folder differs: the slice model is the same, wherever it lies"
done

# Killed, again and again.
batch=("$bin/predict" --model model --studies ct --out killed --secondary-capture --jobs 2)
start=$(date +%s%N)
quietly predict --model model --studies ct --out timed --secondary-capture --jobs 2
milliseconds=$((($(date +%s%N) - start) / 1000000))
kills=0
for _ in 1 2 3 4 5; do
  "${batch[@]}" >stdout 2>stderr &
  pause=$((milliseconds / 10 + RANDOM % (milliseconds / 3 + 1)))
  sleep "$(printf '%d.%03d' $((pause / 1000)) $((pause % 1000)))"
  if kill -9 $! 2>/dev/null; then kills=$((kills + 1)); fi
  wait $! 2>/dev/null || true
done
"${batch[@]}" >stdout 2>stderr || { cat stderr; failed "the resumed batch"; }
((kills >= 1)) || failed "no kill hit a running process"
for folder in timed killed; do
  diff -r -x '*.partial' whole "$folder" || failed "$folder differs from the undisturbed batch"
done
"${batch[@]}" >stdout 2>stderr
grep -q "12 studies predicted (12 before)" stdout || failed "a finished batch is done again"
echo "$kills kills, $patients by slices, $studies by a study model, all as expected"
