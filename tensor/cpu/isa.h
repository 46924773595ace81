// The kernels of this folder are compiled once for every instruction set, each time inside another inline
// namespace (SAGITTA_ISA), from the same sources; which of them runs is decided when the backend is first
// used. How: the build compiles each kernel file with one of isa/*.h in front of it. That header first
// includes all that is not a kernel, so that no function shared with the rest of the program is compiled for
// a processor that may not be there, and then switches the instruction set on. Hence the rules for kernel
// files: everything they define is in namespace sagitta::cpu::inline SAGITTA_ISA, and what they include from
// elsewhere is in isa/prelude.h.
#pragma once
#include <span>

#include "tensor/backend.h"

namespace sagitta::cpu {

struct Isa {
  const char* name;
  bool (*runs_here)();
  Backend& (*open)();  // the backend with these kernels, one per process
};

// What this build has, best first. The build writes the table (isas.cpp.in).
std::span<const Isa> compiled_isas();

}  // namespace sagitta::cpu
