#!/usr/bin/env bash
# Replays docs/adding-an-op.md word for word: its patches on a copy of the tree, built and run through the tests of the ops.
# usage: replay_adding_an_op.sh SOURCE_DIR WORK_DIR
set -euo pipefail
source=$1 tree=$2/tree
rm -rf "$tree" && mkdir -p "$tree"
tar -C "$source" --exclude=./build --exclude=./.git -cf - . | tar -C "$tree" -xf -
cd "$tree"
awk '/^```diff$/ {on = 1; next} /^```$/ {on = 0} on' docs/adding-an-op.md >ops.patch
# Otherwise git would take an enclosing repository for the one to patch, and skip every file.
GIT_CEILING_DIRECTORIES=$(dirname "$PWD") git apply ops.patch

# Not optimized: what counts is that it compiles without a warning and is right.
cmake -S . -B "$2/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DSAGITTA_WERROR=ON \
  -DSAGITTA_DICOM=OFF -DSAGITTA_BENCH=OFF -DSAGITTA_CUDA=OFF -DSAGITTA_CUDA_EMULATED=ON >/dev/null
cmake --build "$2/build" -j 2 --target test_autograd test_cuda_emulated test_recording sagitta_models
for op in softplus l2_normalize; do grep -q "$op" tests/op_cases.cpp; done
"$2/build/tests/test_autograd"
"$2/build/tests/test_cuda_emulated" --test-case="every op agrees*"
