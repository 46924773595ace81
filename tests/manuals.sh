#!/usr/bin/env bash
# Man pages and completions: each option of --help is in all of them, the tools that read them do not complain, and the
# shells complete what they should. Skipped (77) where the tool is not installed.
# usage: manuals.sh man|bash|zsh|fish BUILD_DIR PROGRAM...
set -euo pipefail
part=$1 bin=$(realpath "$2")/bin share=$(realpath "$2")/share
shift 2
failures=0

fail() {
  failures=$((failures + 1))
  printf 'FAILED: %s\n' "$*"
}
needs() {
  command -v "$1" >/dev/null || { echo "skipped: $1 is not installed"; exit 77; }
}
long_options() { "$bin/$1" --help | grep -oP '^  (-\w,)?\K--[a-z0-9-]+'; }

# same WHAT EXPECTED FOUND: compared as sorted words.
same() {
  local expected found
  expected=$(xargs -n 1 <<<"$2" | sort | xargs) found=$(xargs -n 1 <<<"$3" | sort | xargs)
  [[ $expected == "$found" ]] || fail "$1: expected '$expected', found '$found'"
}

# has_options PROGRAM FILE PATTERN: each option of --help is in FILE as PATTERN says, NAME standing for its name, whose
# dashes may be escaped.
has_options() {
  local text options option
  text=$(sed 's/\\-/-/g' "$2") options=$(long_options "$1")
  (($(wc -l <<<"$options") >= 2)) || fail "$1 --help: no options found"
  for option in $options; do
    grep -qP -e "${3//NAME/${option#--}}" <<<"$text" || fail "$2: lacks $option"
  done
}

check_man() {
  needs groff
  local program page
  for program in "$@"; do
    page=$share/man/man1/$program.1
    has_options "$program" "$page" '^\\fB.*--NAME\\fR'
    for section in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS'; do
      grep -q "^.SH $section$" "$page" || fail "$page: lacks $section"
    done
    [[ -z $(groff -man -ww -z -Tutf8 "$page" 2>&1) ]] || fail "$page: $(groff -man -ww -z -Tutf8 "$page" 2>&1 | head -n 3)"
  done
  groff -man -Tascii -P-cbou "$share/man/man1/train_resnet.1" | grep -q 'One of: sgd, adam, adamw' ||
    fail "train_resnet.1: the optimizers are not listed"
}

# What bash offers for the last of the words.
offered_by_bash() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  "$(complete -p "$1" | sed -E 's/.*-F ([^ ]+) .*/\1/')"
  printf '%s\n' "${COMPREPLY[@]}"
}

check_bash() {
  local program file
  for program in "$@"; do
    file=$share/bash-completion/completions/$program
    bash -n "$file" || fail "$file: bash -n"
    has_options "$program" "$file" "[ ']--NAME[ ']"
    # shellcheck disable=SC1090
    source "$file"
    same "$program --ver" --version "$(offered_by_bash "$program" --ver)"
  done
  same "part of an option" "--labels --label-smoothing" "$(offered_by_bash train_resnet --lab)"
  same "a choice" "adam adamw" "$(offered_by_bash train_resnet --optimizer ad)"
  same "a choice behind =" "adam adamw" "$(offered_by_bash train_resnet --optimizer = ad)"
  same "all choices behind =" "sgd adam adamw" "$(offered_by_bash train_resnet --optimizer =)"
  same "the next of a list" "C1,C2" "$(offered_by_bash train_resnet --labels C1,C2)"
  same "nothing for a number" "" "$(offered_by_bash train_resnet --epochs "")"
  cd "$(mktemp -d)"
  mkdir folder "other folder" && touch file.safetensors
  if complete -p reslice >/dev/null 2>&1; then  # not in a build without DICOM
    same "folders" "folder" "$(offered_by_bash reslice --data fo)"
    same "a name with a blank" "other folder" "$(offered_by_bash reslice --data o)"
    same "no file for a folder" "" "$(offered_by_bash reslice --data file)"
  fi
  same "files" "file.safetensors" "$(offered_by_bash forward --input fi)"
  for option in "train_resnet --data" "train_vit --out" "train_vit --resume" "train_study --data" "train_study --out" \
    "train_study --resume" "train_study --slice-model" "evaluate --model" "evaluate --data" "evaluate --out" \
    "evaluate --compare" "explain --model" "explain --data" "explain --out" "explain --ct"; do
    # shellcheck disable=SC2086
    same "folders for $option" "folder" "$(offered_by_bash $option f)"
  done
  for option in "train_resnet --recipe" "train_vit --weights" "train_resnet --split" "train_resnet --trace" \
    "train_vit --graph" "train_study --recipe" "evaluate --aggregator" "report --out" "forward --model"; do
    # shellcheck disable=SC2086
    same "files for $option" "file.safetensors folder" "$(offered_by_bash $option f)"
  done
  same "a positional argument" "folder" "$(offered_by_bash report f)"
  rm -r "$PWD"
}

# The command lines that zsh makes of lines that end where Tab is pressed, one per line. Needs a terminal: zpty is one.
completed_by_zsh() {
  local out
  out=$(mktemp)
  timeout 60 zsh -f -s "$share/zsh/site-functions" "$out" "$@" <<'ZSH'
zmodload zsh/zpty
folder=$1 out=$2; shift 2
answered() { for try in {1..200}; do (( $(wc -l <$out) >= $1 )) && return; sleep 0.1; done }
zpty shell 'TERM=dumb PS1= zsh -f -i'
zpty -w shell "fpath=($folder \$fpath); autoload -U compinit; compinit -u -D; bindkey '^I' complete-word"
zpty -w shell "note() { print -r -- \$BUFFER >>$out; BUFFER= }; zle -N note; bindkey '^X' note; print ready >>$out"
answered 1
for (( i = 1; i <= $#; ++i )); do
  zpty -w -n shell "${@[i]}"$'\t\x18'
  answered $(( i + 1 ))
done
zpty -d shell
ZSH
  sed -e 1d -e 's/ *$//' "$out"
  rm "$out"
}

check_zsh() {
  needs zsh
  local program file completed expected
  for program in "$@"; do
    file=$share/zsh/site-functions/_$program
    zsh -n "$file" || fail "$file: zsh -n"
    has_options "$program" "$file" "--NAME[=\\[,}]"
  done
  # The comma goes away when a space follows.
  completed=$(completed_by_zsh 'train_resnet --optimi' 'train_resnet --optimizer s' 'train_vit --labels C1,pa')
  expected=$'train_resnet --optimizer=\ntrain_resnet --optimizer sgd\ntrain_vit --labels C1,patient_overall,'
  [[ $completed == "$expected" ]] || fail "zsh completes to $completed"
}

offered_by_fish() {
  PATH=$bin:$PATH fish --no-config -c "set -p fish_complete_path $share/fish/vendor_completions.d; complete -C '$1'" | cut -f 1
}

check_fish() {
  needs fish
  local program file
  for program in "$@"; do
    file=$share/fish/vendor_completions.d/$program.fish
    fish --no-execute "$file" || fail "$file: fish --no-execute"
    has_options "$program" "$file" " -l NAME "
  done
  same "part of an option" "--labels --label-smoothing" "$(offered_by_fish 'train_resnet --lab')"
  same "a choice" "adam adamw" "$(offered_by_fish 'train_resnet --optimizer ad')"
  same "the next of a list" "C1,patient_overall" "$(offered_by_fish 'train_resnet --labels C1,pa')"
  same "nothing for a number" "" "$(offered_by_fish 'train_resnet --epochs ')"
}

(($# > 0)) || fail "no programs"
"check_$part" "$@"
((failures == 0)) && echo "$part: $# programs"
