#!/usr/bin/env bash
# A run's recipe makes the same weights bit for bit: whatever was asked for on the command line of a run is in its recipe.toml,
# and `--recipe RUN/recipe.toml --out NEW` is all that it takes. Everything is turned on that draws at random, changes the
# loss, or changes with the epoch.
# usage: replay_recipe.sh BIN_DIR WORK_DIR
set -Eeuo pipefail
bin=$1 work=$2
rm -rf "$work" && mkdir -p "$work"
# The programs' words are kept, and shown when something fails.
trap 'echo "failed at line $LINENO"; tail -n 3 "$work"/*.log' ERR

"$bin/make_phantom" --out "$work/ct" --studies 8 --seed 3 --size 64 --step-mm 3 >/dev/null 2>&1
"$bin/reslice" --data "$work/ct" --out "$work/slices" --slices 5 --span-mm 16 --size 48 >/dev/null 2>&1

# replay PROGRAM OPTION...: a run with the options, a second one from its recipe, and their files byte for byte.
replay() {
  local program=$1 file
  shift
  local first=$work/$program second=$work/$program-again
  "$bin/$program" "$@" --out "$first" >"$work/$program.log" 2>&1
  "$bin/$program" --recipe "$first/recipe.toml" --out "$second" >"$work/$program-again.log" 2>&1
  for file in last/model.safetensors last/optimizer.safetensors best/model.safetensors; do
    cmp "$first/$file" "$second/$file"
  done
  # But for the run's own directory the recipe of the replay is the recipe.
  cmp <(grep -v '^out=' "$first/recipe.toml") <(grep -v '^out=' "$second/recipe.toml")
  echo "$program: bitwise equal"
}

images=(--data "$work/slices" --image-size 48 --batch-size 4 --accumulate 2 --lr 1.2345678e-3 --warmup 1
        --weight-decay 0.01 --clip-norm 1 --label-smoothing 0.1 --pos-weight balanced --ema 0.9 --mixup 0.3 --cutmix 0.5
        --rotation 10 --scale 0.1 --shift 0.05 --brightness 0.1 --contrast 0.1 --flip 0.5 --freeze 1 --freeze-epochs 1
        --lr-layer-decay 0.8 --labels C7,C6,C5,C4,C3,C2,C1,patient_overall --best-by auroc --validation-fraction 0.25
        --test-fraction 0.25 --loader-threads 1)
replay train_resnet --arch resnet-18 --optimizer sgd --momentum 0.8 --nesterov --schedule step --step-size 2 "${images[@]}" \
  --epochs 3 --seed 5
replay train_vit --arch vit-tiny-patch16-224 --layers 3 --initializer-range 0.07 --dropout 0.1 --split-seed 11 \
  --optimizer adam --schedule linear --min-lr 1e-5 "${images[@]}" --epochs 3 --seed 5
grep -q '"num_hidden_layers": 3' "$work/train_vit/best/config.json"
grep -q '"initializer_range": 0.07' "$work/train_vit/best/config.json"
replay train_study --slice-model "$work/train_vit/best" --data "$work/slices" --epochs 4 --batch-size 3 \
  --members 2 --hidden-size 16 --heads 2 --intermediate-size 24 --dropout 0.2 --feature-dropout 0.1 --plane-dropout 0.2 \
  --variants 2 --ema 0.9 --lr 1.2345678e-3 --warmup 2 --bootstrap 0 --seed 5

# Runs of several seeds share one split where they are told to, and else each has its own.
for seeds in "--seed 6 --split-seed 5" "--seed 6"; do
  # shellcheck disable=SC2086
  "$bin/train_resnet" "${images[@]}" --arch resnet-18 --epochs 1 --limit-batches 1 $seeds --out "$work/split ${seeds##* }" \
    >"$work/split.log" 2>&1
done
cmp "$work/train_resnet/split.json" "$work/split 5/split.json"
if cmp -s "$work/train_resnet/split.json" "$work/split 6/split.json"; then
  echo "seeds 5 and 6 split alike"
  exit 1
fi
