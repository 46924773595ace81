#!/usr/bin/env bash
# Compiles the CPU kernels with the portable header and warnings as errors, without producing anything: with a compiler
# for another processor, its tile and vectors are checked as well.
# usage: compile_kernels.sh COMPILER PROJECT FMT_INCLUDE KERNEL.cpp ...
set -euo pipefail
compiler=$1 project=$2 fmt=$3
shift 3
# fmt's headers are this machine's and come last: the other processor has a C library of its own. -Wno-psabi: a note
# about compilers older than GCC 10.
flags=(-std=c++20 -fsyntax-only -O1 -fopenmp-simd -Wall -Wextra -Wpedantic -Werror -Wno-psabi "-I$project"
       -include "$project/tensor/cpu/isa/portable.h" -DFMT_HEADER_ONLY)
[[ -z $fmt ]] || flags+=(-idirafter "$fmt")
printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" "$compiler" "${flags[@]}"
