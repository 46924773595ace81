// The part of CUDA that Sagitta uses, for a C++ compiler: put this folder first on the include path, compile
// the .cu files as C++ and link sagitta_emulator.
#pragma once
#include "cuda/emulator/atomics.h"
#include "cuda/emulator/intrinsics.h"
#include "cuda/emulator/qualifiers.h"
#include "cuda/emulator/recording.h"
#include "cuda/emulator/runtime_api.h"
#include "cuda/emulator/scheduler.h"
#include "cuda/emulator/vector_types.h"
#include "cuda/emulator/warp.h"
