#!/usr/bin/env bash
# Fails when a kernel of the CUDA backend keeps registers in memory ("spills") or has a stack frame: the compiler then made
# slow memory traffic out of arithmetic, silently. Reads the *.ptxas files that cmake/ptxas_report leaves beside the objects.
# usage: check_spills.sh FOLDER [TARGET...]      (the folder with the *.ptxas files, searched recursively)
# What spills for one of the targets (sm_120) is listed, but no failure.
set -euo pipefail
folder=${1:?usage: check_spills.sh FOLDER [TARGET...]}
shift

mapfile -t reports < <(find "$folder" -name '*.ptxas' -size +0 | sort)
((${#reports[@]} > 0)) || { echo "error: $folder: no *.ptxas report; build sagitta_cuda first" >&2; exit 1; }

awk -v where="$folder/" -v tolerated=" $* " '
  function name_of(symbol,   pipe, text) {  # readable where c++filt is installed
    pipe = "c++filt -p " symbol " 2>/dev/null || echo " symbol
    pipe | getline text
    close(pipe)
    return text
  }
  /Compiling entry function/ {
    split($0, quoted, "\047")
    kernel = quoted[2]; target = quoted[4]
    ++kernels
  }
  /Function properties for/ { function_name = $NF }
  # The line belongs to the kernel or to a function that it calls and that was not inlined.
  /bytes stack frame/ {
    file = FILENAME
    sub(where, "", file)
    if ($1 > 0 || $5 > 0 || $9 > 0) {
      ++spilling
      if (!index(tolerated, " " target " ")) ++bad
      printf "%s, %s: %s: stack frame of %d bytes, spills %d bytes and reloads %d\n", file, target, name_of(function_name), $1, $5, $9
    }
  }
  match($0, /Used [0-9]+ registers/) {
    registers = substr($0, RSTART + 5, RLENGTH - 15) + 0
    if (registers > most) { most = registers; hungriest = kernel }
  }
  END {
    if (!kernels) { print "error: the reports name no kernel; was it compiled with -Xptxas=-v?"; exit 1 }
    printf "%d kernels in %d files, at most %d registers (%s), %d with spills or a stack frame\n",
           kernels, ARGC - 1, most, name_of(hungriest), spilling
    exit bad > 0
  }' "${reports[@]}"
