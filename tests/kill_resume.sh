#!/usr/bin/env bash
# kill -9 or SIGTERM at five random moments of a run: each time it is resumed, and its weights and its log end equal to those of a
# run that nothing disturbed. The moments are drawn from the length of the undisturbed run, so that they hit work on any machine.
# usage: kill_resume.sh BIN_DIR WORK_DIR [SEED]
set -euo pipefail
bin=$1 work=$2
rm -rf "$work" && mkdir -p "$work"
RANDOM=${3:-7}
# The programs' words are kept, and shown when something fails.
trap 'echo "failed at line $LINENO"; tail -n 3 "$work"/*.log' ERR

"$bin/make_phantom" --out "$work/ct" --studies 6 --seed 3 --size 64 --step-mm 3 >/dev/null
"$bin/reslice" --data "$work/ct" --out "$work/slices" --slices 5 --span-mm 16 --size 48 >/dev/null 2>&1

options=(--data "$work/slices" --arch resnet-18 --image-size 48 --epochs 6 --batch-size 4 --accumulate 2 --optimizer adamw
         --lr 1e-3 --rotation 10 --flip 0.5 --mixup 0.2 --ema 0.9 --freeze 1 --freeze-epochs 2
         --validation-fraction 0.3 --test-fraction 0 --checkpoint-steps 1 --keep-checkpoints 2 --seed 5)

start=$(date +%s%N)
"$bin/train_resnet" "${options[@]}" --out "$work/whole" >"$work/whole.log" 2>&1
milliseconds=$((($(date +%s%N) - start) / 1000000))

"$bin/train_resnet" "${options[@]}" --out "$work/killed" >>"$work/killed.log" 2>&1 &
kills=0
for signal in KILL TERM KILL TERM KILL; do
  pause=$((milliseconds / 20 + RANDOM % (milliseconds / 6 + 1)))
  sleep "$(printf '%d.%03d' $((pause / 1000)) $((pause % 1000)))"
  if kill -$signal $! 2>/dev/null; then kills=$((kills + 1)); fi
  status=0
  wait $! 2>/dev/null || status=$?
  # A program that is asked to end saves its step and ends well, unless it had not begun to listen.
  if [[ $signal == TERM ]] && ((status != 0 && status != 143)); then
    echo "SIGTERM: exit $status"
    exit 1
  fi
  # A run that was killed before it wrote its recipe has not begun yet.
  if [[ -e $work/killed/recipe.toml ]]; then
    "$bin/train_resnet" --resume "$work/killed" >>"$work/killed.log" 2>&1 &
  else
    "$bin/train_resnet" "${options[@]}" --out "$work/killed" >>"$work/killed.log" 2>&1 &
  fi
done
wait $!

for file in last/model.safetensors last/optimizer.safetensors best/model.safetensors; do
  cmp "$work/whole/$file" "$work/killed/$file"
done
# The log as well, but for the time that things took.
for run in whole killed; do
  sed -E 's/"(images_per_second|wait_share|validation_seconds|peak_memory_mb)":[^,}]*[,}]//g' "$work/$run/metrics.jsonl" >"$work/$run.results"
done
cmp "$work/whole.results" "$work/killed.results"
((kills >= 3)) || { echo "only $kills of 5 kills hit a running process"; exit 1; }
echo "$kills kills, bitwise equal"
