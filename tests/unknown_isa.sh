#!/usr/bin/env bash
# A SAGITTA_ISA that nothing was compiled for ends a program that computes with one line that says what there is.
# usage: unknown_isa.sh TRAIN_RESNET
set -euo pipefail
status=0
message=$(SAGITTA_ISA=vax "$1" --recipe demo-resnet --data nowhere --out nowhere 2>&1 >/dev/null) || status=$?
versions=0
SAGITTA_ISA=vax "$1" --version >/dev/null 2>&1 || versions=$?
[[ $versions == 1 ]] || { echo "--version: exit $versions"; exit 1; }
[[ $status == 1 && $message == *'SAGITTA_ISA is "vax"; this processor and this build have:'* && $(wc -l <<<"$message") == 1 ]] ||
  { echo "exit $status: $message"; exit 1; }
