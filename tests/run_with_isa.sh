#!/usr/bin/env bash
# Runs a test program with the kernels of one instruction set; 77 (skipped) where the processor does not have it.
# usage: run_with_isa.sh ISA PROGRAM [ARGUMENT ...]
set -euo pipefail
declare -A flags=([sse4]=sse4_2 [avx2]=avx2 [avx512]=avx512f)
isa=$1
shift
flag=${flags[$isa]:-}
if [[ -n $flag ]] && ! grep -qw "$flag" /proc/cpuinfo; then
  echo "this processor has no $isa"
  exit 77
fi
SAGITTA_ISA=$isa exec "$@"
