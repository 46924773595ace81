#!/usr/bin/env bash
# What users and disks do to programs: wrong flags, wrong paths, damaged files, a full disk. Each time the program must
# end with exit code 1 (2 for wrong usage) and one line on stderr, "error: ...", that names the flag or the file.
# usage: hostile_programs.sh BIN_DIR WORK_DIR input|full-disk
set -euo pipefail
bin=$(realpath "$1") work=$(realpath -m "$2") part=$3
golden=$(cd "$(dirname "$0")" && pwd)/golden
rm -rf "$work" && mkdir -p "$work" && cd "$work"
failures=0 cases=0

# refused CODE WORDS PROGRAM ARGUMENTS...
refused() {
  local code=$1 words=$2 program=$3 status=0 problem=
  shift 3
  cases=$((cases + 1))
  "$bin/$program" "$@" >stdout 2>stderr || status=$?
  if [[ $status != "$code" ]]; then problem="exit code $status, expected $code"
  elif [[ $(grep -c '^error: ' stderr) != 1 ]]; then problem="expected one line that begins with 'error: '"
  elif [[ $(tail -n 1 stderr) != "error: "* ]]; then problem="the last line is not the error"
  elif ! grep '^error: ' stderr | grep -qF -e "$words"; then problem="the error does not mention '$words'"
  elif grep -qE 'Sanitizer|runtime error|terminate called|Assertion' stderr; then problem="the program crashed"
  fi
  [[ -z $problem ]] && return
  failures=$((failures + 1))
  printf 'FAILED: %s %s\n  %s; stderr:\n' "$program" "$*" "$problem"
  head -n 5 stderr | cut -c 1-300 | sed 's/^/  | /'
}

# damaged FROM TO FILE: a copy of folder FROM in which FILE is cut to half its length.
damaged() {
  rm -rf "$2" && cp -rL "$1" "$2"
  truncate -s $(($(stat -c %s "$2/$3") / 2)) "$2/$3"
}

# flipped FROM TO FILE: a copy in which bytes in the middle of FILE are overwritten.
flipped() {
  rm -rf "$2" && cp -rL "$1" "$2"
  printf 'SAGITTA!' | dd of="$2/$3" bs=1 seek=$(($(stat -c %s "$2/$3") / 2)) conv=notrunc status=none
}

"$bin/make_phantom" --out ct --studies 4 --seed 3 --size 64 --step-mm 4 >/dev/null 2>&1
"$bin/reslice" --data ct --out slices --slices 3 --span-mm 8 --size 32 >/dev/null 2>&1
small=(--arch resnet-18 --image-size 32 --epochs 1 --batch-size 2 --test-fraction 0.25 --validation-fraction 0.25)
"$bin/train_resnet" --data slices --out run "${small[@]}" >/dev/null 2>&1
study=$(basename "$(ls -d slices/slices/* | head -n 1)")
echo "not what was expected" >file

if [[ $part == full-disk ]]; then
  mkdir full
  if ! mount -t tmpfs -o size=1m tmpfs full 2>/dev/null; then
    echo "skipped: a full disk needs the right to mount a tmpfs"
    exit 77
  fi
  trap 'umount "$work/full"' EXIT
  refused 1 "full/ct" make_phantom --out full/ct --studies 4 --size 128 --step-mm 2
  rm -rf full/*
  head -c 900K /dev/zero >full/filler
  refused 1 "full/slices" reslice --data ct --out full/slices --slices 25
  rm -rf full/slices
  refused 1 "full/run" train_resnet --data slices --out full/run "${small[@]}"
  rm -rf full/run
  head -c 1M /dev/zero >full/filler2 2>/dev/null || true
  refused 1 "full/evaluation" evaluate --model run/best --data slices --out full/evaluation --split all
  refused 1 "full/predicted" predict --model run/best --studies ct --out full/predicted
  refused 1 "full/logits.safetensors" forward --model "$golden/resnet_basic" --input "$golden/resnet_basic/golden.safetensors" --output full/logits.safetensors

  # A disk that fills while a run goes on: what was saved before is whole, and with room again the run ends as any other.
  rm -rf full/*
  mount -o remount,size=160m full
  several=("${small[@]/#1/4}" --optimizer sgd --momentum 0 --keep-checkpoints 9)
  refused 1 "full/run" train_resnet --data slices --out full/run "${several[@]}"
  mount -o remount,size=500m full
  "$bin/train_resnet" --resume full/run >resumed.log 2>&1 || { echo "FAILED: the run did not go on"; failures=1; }
  "$bin/train_resnet" --data slices --out undisturbed "${several[@]}" >/dev/null 2>&1
  cmp full/run/last/model.safetensors undisturbed/last/model.safetensors || failures=1
else
  # Flags.
  refused 2 "--nosuch" reslice --data ct --out out --nosuch
  refused 2 "--nosuch" make_phantom --out out --nosuch
  refused 2 "--nosuch" train_resnet --nosuch
  refused 2 "--nosuch" train_vit --nosuch
  refused 2 "--nosuch" evaluate --model run/best --data slices --nosuch
  refused 2 "--nosuch" explain --model run/best --data slices --nosuch
  refused 2 "--nosuch" predict --model run/best --studies ct --out out --nosuch
  refused 2 "--nosuch" forward --model run/best --input file --output out --nosuch
  refused 2 "--nosuch" summary --arch resnet-18 --nosuch
  refused 2 "--data" reslice --out out
  refused 2 "--out" make_phantom
  refused 2 "--model" evaluate --data slices
  refused 2 "--input" forward --model run/best --output out
  refused 2 "--arch" summary
  refused 2 "--lr" train_resnet --lr fast
  refused 2 "--recipe" train_resnet --recipe nosuch
  refused 2 "--studies" make_phantom --out out --studies 0
  refused 2 "--split" evaluate --model run/best --data slices --split most
  refused 2 "--aggregate" evaluate --model run/best --data slices --aggregate median
  refused 2 "--tta" evaluate --model run/best --data slices --tta 0
  refused 2 "--specificity" evaluate --model run/best --data slices --specificity 90
  refused 2 "--bootstrap" evaluate --model run/best --data slices --bootstrap -1
  refused 2 "--model" predict --studies ct --out out
  refused 2 "--out" predict --model run/best --studies ct
  refused 2 "--study" predict --model run/best --out out
  refused 2 "--study" predict --model run/best --out out --studies ct --study ct
  refused 2 "--aggregate" predict --model run/best --studies ct --out out --aggregate learned
  refused 2 "--aggregator" predict --model run/best --studies ct --out out --aggregate max --aggregator file
  for values in "--tta 0" "--fill 2" "--jobs -1" "--batch-size 0" "--min-slices 1"; do
    refused 2 "${values% *}" predict --model run/best --studies ct --out out $values
  done
  refused 2 "--method" explain --model run/best --data slices --method guess
  refused 2 "--channels" reslice --data ct --out out --channels four
  for values in "--slices 0" "--span-mm -1" "--spacing-mm 0" "--size 3" "--min-slices -1" "--jobs -1"; do
    refused 2 "${values% *}" reslice --data ct --out out $values
  done
  refused 1 "--window" reslice --data ct --out out --window sharp
  refused 1 "--out" train_resnet --data slices
  refused 1 "--data" train_resnet --out out

  # Paths that are not there, or of the wrong kind.
  refused 1 "nowhere" reslice --data nowhere --out out
  refused 1 "--data file" reslice --data file --out out
  refused 1 "file/out" reslice --data ct --out file/out
  refused 1 "file/out" make_phantom --out file/out --studies 1 --size 64
  refused 1 "ct: already holds" make_phantom --out ct --studies 1 --size 64
  refused 1 "nowhere" evaluate --model nowhere --data slices
  refused 1 "config.json" evaluate --model file --data slices --out out
  refused 1 "nowhere" evaluate --model run/best --data nowhere --out out
  refused 1 "file/out" evaluate --model run/best --data slices --out file/out --split all
  refused 1 "file/out" explain --model run/best --data slices --out file/out --split all
  refused 1 "nowhere" explain --model nowhere --data slices --out out
  refused 1 "--label is C9" explain --model run/best --data slices --out out --label C9
  refused 1 "expected grad-cam" explain --model run/best --data slices --out out --method attention-rollout
  refused 1 "train_bounding_boxes.csv" explain --model run/best --data slices --out out --split all --ct slices
  refused 1 "nowhere" predict --model nowhere --studies ct --out out
  refused 1 "--studies nowhere" predict --model run/best --studies nowhere --out out
  refused 1 "--study nowhere" predict --model run/best --study nowhere --out out
  refused 1 "--study file" predict --model run/best --study file --out out
  refused 1 "file/out" predict --model run/best --studies ct --out file/out
  refused 1 "nowhere: no such file" predict --model run/best --studies ct --out out --aggregator nowhere
  refused 1 "--fill" predict --model run/best --studies ct --out out --fill 0.1,0.2
  refused 1 "--secondary-capture" predict --model run/best --studies ct --out out --secondary-capture --no-pictures
  cp -rL "$golden/resnet_basic" foreign && cp run/best/preprocessor_config.json foreign
  refused 1 "none of patient_overall, C1..C7" predict --model foreign --studies ct --out out
  refused 1 "nowhere" forward --model nowhere --input file --output out
  refused 1 "nowhere" forward --model "$golden/resnet_basic" --input nowhere --output out
  refused 1 "file: the header" forward --model "$golden/resnet_basic" --input file --output out
  refused 1 "file/out" forward --model "$golden/resnet_basic" --input "$golden/resnet_basic/golden.safetensors" --output file/out
  refused 1 "pixel_values" forward --model "$golden/resnet_basic" --input "$golden/resnet_basic/model.safetensors" --output out
  refused 1 "nowhere" summary --arch nowhere
  for program in train_resnet train_vit; do
    refused 1 "nowhere" $program --data nowhere --out out1
    refused 1 "--data file" $program --data file --out out2
    refused 1 "file/out" $program --data slices --out file/out
    refused 1 "--resume nowhere: is not a run" $program --resume nowhere
    refused 1 "--resume file: is not a run" $program --resume file
    refused 1 "nowhere" $program --data slices --out out3 --weights nowhere
    refused 1 "file: the header claims" $program --data slices --out out4 --weights file
  done
  refused 1 "--out run: holds another run" train_resnet --data slices --out run
  refused 1 "resnet-18" train_vit --data slices --out out5 --arch resnet-18
  refused 1 "--layers" train_resnet --data slices --out out5 --arch resnet-18 --layers 2
  refused 1 "--initializer-range" train_vit --data slices --out out5 --weights "$golden/vit" --initializer-range 0.1
  mkdir empty
  refused 1 "--data empty" reslice --data empty --out out6
  refused 1 "empty" train_resnet --data empty --out out7 "${small[@]}"
  refused 1 "empty" evaluate --model empty --data slices
  refused 1 "empty" evaluate --model run/best --data empty --out out8
  refused 1 "empty" summary --arch empty
  refused 1 "--studies empty" predict --model run/best --studies empty --out out28
  refused 1 "empty: no axial CT images" predict --model run/best --study empty --out out29
  mkdir -p noise/study && cp file noise/study/1.dcm
  refused 1 "study: no axial CT images" predict --model run/best --studies noise --out out30
  refused 1 "studies.json" reslice --data noise --out out9

  # Damaged tables and settings.
  damaged ct bad train.csv && refused 1 "bad/train.csv" reslice --data bad --out out10
  sed "3s/,[01]/,7/" ct/train.csv >bad/train.csv &&
    refused 1 "bad/train.csv" train_resnet --data bad --out out11 "${small[@]}"
  damaged slices bad manifest.csv && refused 1 "bad/manifest.csv" train_resnet --data bad --out out12 "${small[@]}"
  : >bad/manifest.csv && refused 1 "bad/manifest.csv" evaluate --model run/best --data bad --out out13
  damaged slices bad settings.json && refused 1 "--out bad" reslice --data ct --out bad --slices 3 --span-mm 8 --size 32
  damaged run bad recipe.toml && refused 1 "bad/recipe.toml" train_resnet --resume bad
  sed -n 1,20p run/recipe.toml >bad/recipe.toml && refused 1 "bad/recipe.toml" train_resnet --resume bad
  damaged run/best bad config.json && refused 1 "bad/config.json" evaluate --model bad --data slices
  refused 1 "bad/config.json" summary --arch bad
  damaged run/best bad preprocessor_config.json && refused 1 "bad/preprocessor_config.json" evaluate --model bad --data slices
  damaged run/best bad split.json && refused 1 "bad/split.json" evaluate --model bad --data slices

  for part in config preprocessor_config slices split; do
    damaged run/best bad $part.json
    refused 1 "bad/$part.json" predict --model bad --studies ct --out out31
  done
  damaged run/best bad model.safetensors && refused 1 "bad/model.safetensors" predict --model bad --studies ct --out out31
  echo '{"format": "sagitta study aggregator"' >bad/aggregator.json && cp run/best/model.safetensors bad
  refused 1 "bad/aggregator.json" predict --model bad --studies ct --out out31
  cp -rL run/best cut && sed -i 's/"planes": [0-9]*/"planes": 4/' cut/slices.json
  refused 1 "cut: was trained on slices cut otherwise" predict --model run/best --model cut --studies ct --out out31
  mkdir -p mixed && : >mixed/settings.json
  refused 1 "--out mixed: holds predictions made otherwise" predict --model run/best --studies ct --out mixed

  # What evaluations need of several models, and of earlier evaluations.
  refused 1 "--out" evaluate --model run/best --model run/best --data slices
  refused 1 "--split out-of-fold" evaluate --model run/best --data slices --out out19 --split out-of-fold
  refused 1 "learned" evaluate --model run/best --data slices --out out20 --split validation --aggregate learned
  refused 1 "nowhere" evaluate --model run/best --data slices --out out21 --compare nowhere
  refused 1 "nowhere: no such file" evaluate --model run/best --data slices --out out22 --aggregator nowhere
  refused 1 "file: is damaged" evaluate --model run/best --data slices --out out23 --aggregator file
  "$bin/evaluate" --model run/best --data slices --out earlier --bootstrap 0 >/dev/null 2>&1
  damaged earlier bad predictions.csv && refused 1 "bad/predictions.csv" evaluate --model run/best --data slices --out out24 --compare bad
  damaged earlier bad patients.csv && refused 1 "bad/patients.csv" evaluate --model run/best --data slices --out out25 --compare bad
  refused 1 "earlier/predictions.csv" evaluate --model run/best --data slices --out out26 --split all --compare earlier
  damaged earlier bad aggregator.json && refused 1 "bad/aggregator.json" evaluate --model run/best --data slices --out out27 --aggregator bad/aggregator.json
  for out in out19 out20 out2{1,2,3,4,5,6,7}; do
    [[ -e $out/evaluation.json ]] && { echo "FAILED: $out/evaluation.json is there after an error"; failures=1; }
  done

  # Damaged weights, checkpoints and pictures.
  damaged run/best bad model.safetensors && refused 1 "bad/model.safetensors" evaluate --model bad --data slices
  refused 1 "bad/model.safetensors" train_resnet --data slices --out out14 --weights bad
  : >bad/model.safetensors && refused 1 "bad/model.safetensors" forward --model bad --input file --output out
  damaged run bad last/optimizer.safetensors && sed -i 's/^epochs=.*/epochs=2/' bad/recipe.toml &&
    refused 1 "bad/last/optimizer.safetensors" train_resnet --resume bad
  damaged slices bad "slices/$study/0.png" && refused 1 "bad/slices/$study/0.png" evaluate --model run/best --data bad --out out15 --split all
  flipped slices bad "slices/$study/1.png" && refused 1 "bad/slices/$study/1.png" evaluate --model run/best --data bad --out out16 --split all
  rm "bad/slices/$study/1.png" && refused 1 "bad/slices/$study/1.png" evaluate --model run/best --data bad --out out17 --split all
  damaged ct bad train_bounding_boxes.csv && sed -i '2s/,/,x/' bad/train_bounding_boxes.csv &&
    refused 1 "bad/train_bounding_boxes.csv" explain --model run/best --data slices --out out19 --split all --ct bad
  fractured=$(sed -n 2p ct/train_bounding_boxes.csv | cut -d, -f1)
  damaged slices bad "slices/$fractured/study.json" &&
    refused 1 "bad/slices/$fractured/study.json" explain --model run/best --data bad --out out20 --split all --ct ct

  # Damaged CT: every study refused, with the reason in studies.json.
  rm -rf bad && cp -r ct bad
  find bad -name '*.dcm' -exec truncate -s 700 {} +
  refused 1 "out18/studies.json" reslice --data bad --out out18
  refused 1 "no study was predicted; first refusal: 1." predict --model run/best --studies bad --out out32
  grep -q "damaged or truncated" out32/predictions.json || { echo "FAILED: predictions.json gives no reason"; failures=1; }
  grep -q "damaged or truncated" out18/studies.json || { echo "FAILED: studies.json gives no reason"; failures=1; }
fi

echo "$cases calls, $failures failures"
((failures == 0))
