#!/usr/bin/env bash
# A run's report in headless Chromium: nothing on the console, every chart drawn, no request to a network, in light and dark,
# wide and on a phone; a study model's, and pages that compare two runs. Skipped where there is no Chromium.
# usage: report_page.sh BIN_DIR WORK_DIR
set -euo pipefail
bin=$(realpath "$1") work=$(realpath -m "$2")
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || { echo "skipped: no Chromium"; exit 77; }
rm -rf "$work" && mkdir -p "$work" && cd "$work"
trap 'echo "failed at line $LINENO"; tail -n 5 "$work"/*.log' ERR

"$bin/make_phantom" --out ct --studies 12 --seed 3 --size 64 --step-mm 3 >/dev/null 2>&1
"$bin/reslice" --data ct --out slices --slices 3 --span-mm 10 --size 48 >/dev/null 2>&1
for lr in 1e-3 2e-3; do
  "$bin/train_resnet" --data slices --arch resnet-18 --image-size 48 --epochs 2 --batch-size 4 --validation-fraction 0.3 --test-fraction 0.3 \
    --lr $lr --out "run-$lr" >"train-$lr.log" 2>&1
  "$bin/evaluate" --model "run-$lr/best" --data slices --out "run-$lr/evaluation" >"evaluate-$lr.log" 2>&1
  "$bin/report" "run-$lr" >report.log
done
"$bin/train_study" --slice-model run-1e-3/best --data slices --out study --epochs 3 --bootstrap 100 >train-study.log 2>&1
"$bin/report" run-1e-3 run-2e-3 --out compared.html >>report.log
"$bin/report" run-1e-3 study --out mixed.html >>report.log

# chrome PAGE ARGUMENTS...: the page's DOM on stdout, what Chromium says on stderr.
chrome() {
  "$chromium" --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=5000 --enable-logging=stderr --v=0 \
    --user-data-dir="$work/profile" "${@:2}" "file://$work/$1"
}
check() {  # PAGE
  chrome "$1" --dump-dom >dom.html 2>chromium.log
  if grep -q 'CONSOLE' chromium.log; then echo "$1: the console is not empty:"; grep CONSOLE chromium.log; return 1; fi
  grep -q 'data-ready="yes"' dom.html || { echo "$1: the script did not come to its end"; return 1; }
  local charts drawn
  charts=$(grep -o '<canvas' dom.html | wc -l) drawn=$(grep -o 'data-drawn="yes"' dom.html | wc -l)
  ((charts >= $2 && charts == drawn)) || { echo "$1: $drawn of $charts charts drawn, expected at least $2"; return 1; }
  # The one thing that looks like an address in the page is the comment of the chart library.
  if grep -oE '(src|href|url)[=(]["'"'"']?(https?:)?//[^"'"'"' )>]*' "$1"; then echo "$1: it names something on a network"; return 1; fi
  echo "$1: $charts charts drawn"
}
check run-1e-3/report.html 9
check compared.html 5
# A study model stands beside the rules over slices, has no throughput, and no loss or area that is one of slices.
check study/report.html 8
for text in 'on the same patients ([0-9]' ', chosen on validation<' 'Slices, by the slice models ([0-9]'; do
  grep -q "$text" dom.html || { echo "study/report.html: lacks '$text'"; exit 1; }
done
if grep -q '<h3>Throughput' dom.html; then echo "study/report.html: a chart of nothing"; exit 1; fi
check mixed.html 2
if grep -q '<h3>Validation loss' dom.html; then echo "mixed.html: losses of slices and of studies in one chart"; exit 1; fi
# A broken chart must be noticed: this is what the count of drawn charts is for.
sed 's/const markDrawn = {/const markDrawn = {beforeInit() { throw new Error("broken"); },/' run-1e-3/report.html >broken.html
if check broken.html 9 >/dev/null; then echo "a page whose charts fail passes the check"; exit 1; fi

for look in desktop:1280,2400 phone:390,2400 dark:1280,2400; do
  page=run-1e-3/report.html
  if [[ $look == dark:* ]]; then
    sed 's/<html lang="en">/<html lang="en" data-theme="dark">/' run-1e-3/report.html >dark.html
    page=dark.html
  fi
  chrome "$page" --screenshot="$work/${look%%:*}.png" --window-size="${look##*:}" >/dev/null 2>&1
  # An empty page of this size compresses to less than 20 kB.
  (($(stat -c %s "${look%%:*}.png") > 60000)) || { echo "${look%%:*}.png is nearly empty"; exit 1; }
done
echo "screenshots: $work/desktop.png, phone.png, dark.png"
