// Everything that kernels include from elsewhere, compiled for the baseline (see tensor/cpu/isa.h).
#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cpu/allocator.h"
#include "tensor/cpu/thread_pool.h"
#include "tensor/cpu_options.h"
#include "tensor/error.h"
#include "tensor/half.h"
#include "tensor/rounding.h"
