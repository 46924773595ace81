// Elementwise ops, copies and conversions. All are bound by memory bandwidth: what counts is that every
// element moves once, in packs of 16 bytes. The formulas are those of tensor/elementwise.h.
#include <algorithm>
#include <cstring>

#include "cuda/check.h"
#include "cuda/column_tiles.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/pack.cuh"
#include "cuda/target.cuh"
#include "tensor/elementwise.h"

namespace sagitta::cuda {

namespace {

constexpr int kThreads = 256;
// Packs that a thread has under way: with two, some 60 KB of loads per multiprocessor are in flight, which is
// what it takes to keep the memory busy.
constexpr int kFlight = 2;

// ---- what map_kernel computes: y from a, b, c, of which the first kInputs are given

template <class Formula>
struct Value {
  static constexpr int kInputs = 1;
  __device__ float operator()(float x, float, float) const { return Formula::f(x); }
};

// A derivative looks only at the value that it saves, so that value can stand for both arguments.
template <class Formula>
struct Derivative {
  static constexpr int kInputs = Formula::kSaves == Saves::nothing ? 1 : 2;
  __device__ float operator()(float dy, float saved, float) const { return dy * Formula::df(saved, saved); }
};

template <class Formula>
struct Combination {
  static constexpr int kInputs = 2;
  __device__ float operator()(float a, float b, float) const { return Formula::f(a, b); }
};

template <class Formula>
struct DerivativeByA {
  static constexpr int kInputs = Formula::kSaves == Saves::nothing ? 1 : 3;
  __device__ float operator()(float dy, float a, float b) const { return dy * Formula::da(a, b); }
};

template <class Formula>
struct DerivativeByB {
  static constexpr int kInputs = Formula::kSaves == Saves::nothing ? 1 : 3;
  __device__ float operator()(float dy, float a, float b) const { return dy * Formula::db(a, b); }
};

struct Multiple {
  static constexpr int kInputs = 1;
  float alpha;
  const float* scalar;  // one more factor, in device memory; may be null
  __device__ float operator()(float x, float, float) const {
    return (scalar != nullptr ? alpha * *scalar : alpha) * x;
  }
};

// y = f(a, b, c), or y += f(a, b, c), element by element.
// A block covers kFlight * kThreads neighboring packs; thread t has packs t and t + kThreads, so that each
// load of a warp is one piece of 512 bytes. Every operand that f looks at is read once, y is written once
// (and read when accumulating). A thread reads all its elements before it writes the first: y may be a, b or
// c.
template <class F, class From, class To>
__global__ void __launch_bounds__(kThreads) map_kernel(F f, const From* a, const From* b, const From* c,
                                                       To* y, std::int64_t n, bool packed, bool accumulate) {
  constexpr int kSize = std::min(kPackSize<From>, kPackSize<To>);
  const std::int64_t first = (std::int64_t{blockIdx.x} * kFlight * kThreads + threadIdx.x) * kSize;
  float as[kFlight][kSize], bs[kFlight][kSize], cs[kFlight][kSize];
#pragma unroll
  for (int j = 0; j < kFlight; ++j) {
    const std::int64_t at = first + j * kThreads * kSize;
    load_floats(a + at, n - at, packed, as[j]);
    if constexpr (F::kInputs >= 2) load_floats(b + at, n - at, packed, bs[j]);
    if constexpr (F::kInputs >= 3) load_floats(c + at, n - at, packed, cs[j]);
  }
#pragma unroll
  for (int j = 0; j < kFlight; ++j) {
    const std::int64_t at = first + j * kThreads * kSize;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const float x = as[j][i];
      as[j][i] = f(x, F::kInputs >= 2 ? bs[j][i] : x, F::kInputs >= 3 ? cs[j][i] : x);
    }
    store_target(y + at, n - at, packed, as[j], accumulate);
  }
}

// Tensors that f does not look at may be empty.
template <class From, class To, class F>
void map(cudaStream_t stream, F f, const Tensor& a, const Tensor& b, const Tensor& c, const Target& y) {
  constexpr int kSize = std::min(kPackSize<From>, kPackSize<To>);
  const From *as = data_or_null<From>(a), *bs = data_or_null<From>(b), *cs = data_or_null<From>(c);
  To* ys = y.dst.data<To>();
  const std::int64_t n = y.dst.numel();
  const auto blocks = static_cast<unsigned>(ceil_div(n, std::int64_t{kFlight} * kThreads * kSize));
  launch(map_kernel<F, From, To>, blocks, kThreads, 0, stream, f, as, bs, cs, ys, n, aligned(as, bs, cs, ys),
         y.accumulate);
}

// y = alpha * scalar? * x between any two of the computing types.
void map_multiple(cudaStream_t stream, Multiple multiple, const Tensor& x, const Target& y) {
  dispatch_dtype(x.dtype(), [&](auto from) {
    dispatch_dtype(y.dst.dtype(), [&](auto to) {
      map<typename decltype(from)::type, typename decltype(to)::type>(stream, multiple, x, {}, {}, y);
    });
  });
}

// ---- copies of elements as they are

// Writes `pattern`, whole elements that fill 16 bytes, over and over. One thread per 16 bytes.
__global__ void __launch_bounds__(kThreads)
    fill_kernel(Pack<unsigned char, 16> pattern, unsigned char* y, std::int64_t bytes, bool packed) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * 16;
  if (packed && at + 16 <= bytes) {
    *reinterpret_cast<Pack<unsigned char, 16>*>(y + at) = pattern;
    return;
  }
#pragma unroll
  for (int i = 0; i < 16; ++i)
    if (at + i < bytes) y[at + i] = pattern.value[i];
}

template <class Wide>
__device__ Wide load_as(DType dtype, const void* x, std::int64_t i) {
  switch (dtype) {
    case DType::f32: return static_cast<Wide>(static_cast<const float*>(x)[i]);
    case DType::f64: return static_cast<Wide>(static_cast<const double*>(x)[i]);
    case DType::bf16: return static_cast<Wide>(to_float(static_cast<const __nv_bfloat16*>(x)[i]));
    case DType::f16: return static_cast<Wide>(to_float(static_cast<const __half*>(x)[i]));
    case DType::i32: return static_cast<Wide>(static_cast<const std::int32_t*>(x)[i]);
    case DType::i64: return static_cast<Wide>(static_cast<const std::int64_t*>(x)[i]);
    case DType::i16: return static_cast<Wide>(static_cast<const std::int16_t*>(x)[i]);
    case DType::u8: break;
  }
  return static_cast<Wide>(static_cast<const std::uint8_t*>(x)[i]);
}

template <class Wide>
__device__ void store_as(DType dtype, void* y, std::int64_t i, Wide value) {
  switch (dtype) {
    case DType::f32: static_cast<float*>(y)[i] = static_cast<float>(value); return;
    case DType::f64: static_cast<double*>(y)[i] = static_cast<double>(value); return;
    case DType::bf16:
      static_cast<__nv_bfloat16*>(y)[i] = from_float<__nv_bfloat16>(static_cast<float>(value));
      return;
    case DType::f16: static_cast<__half*>(y)[i] = from_float<__half>(static_cast<float>(value)); return;
    case DType::i32: static_cast<std::int32_t*>(y)[i] = static_cast<std::int32_t>(value); return;
    case DType::i64: static_cast<std::int64_t*>(y)[i] = static_cast<std::int64_t>(value); return;
    case DType::i16: static_cast<std::int16_t*>(y)[i] = static_cast<std::int16_t>(value); return;
    case DType::u8: static_cast<std::uint8_t*>(y)[i] = static_cast<std::uint8_t>(value); return;
  }
}

// Conversions that no hot path needs, chosen at run time: one kernel instead of 64. One thread per element;
// Wide (double, or int64 for integers) holds every value of the source exactly.
template <class Wide>
__global__ void __launch_bounds__(kThreads)
    convert_kernel(DType from, const void* x, DType to, void* y, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) store_as(to, y, i, load_as<Wide>(from, x, i));
}

__global__ void __launch_bounds__(kThreads) increment_kernel(std::int64_t* counter, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) ++counter[i];
}

unsigned blocks_for(std::int64_t threads) { return static_cast<unsigned>(ceil_div(threads, kThreads)); }

constexpr bool is_computing(DType dtype) { return dtype == DType::f32 || is_half(dtype); }

constexpr bool is_integer(DType dtype) { return !is_computing(dtype) && dtype != DType::f64; }

template <class T>
void repeat(T value, Pack<unsigned char, 16>& pattern) {
  for (std::size_t at = 0; at < 16; at += sizeof value) std::memcpy(pattern.value + at, &value, sizeof value);
}

Pack<unsigned char, 16> pattern_of(DType dtype, double value) {
  Pack<unsigned char, 16> pattern;
  switch (dtype) {
    case DType::f32: repeat(static_cast<float>(value), pattern); break;
    case DType::f64: repeat(value, pattern); break;
    case DType::bf16: repeat(from_float<__nv_bfloat16>(static_cast<float>(value)), pattern); break;
    case DType::f16: repeat(from_float<__half>(static_cast<float>(value)), pattern); break;
    case DType::i32: repeat(static_cast<std::int32_t>(value), pattern); break;
    case DType::i64: repeat(static_cast<std::int64_t>(value), pattern); break;
    case DType::i16: repeat(static_cast<std::int16_t>(value), pattern); break;
    case DType::u8: repeat(static_cast<std::uint8_t>(value), pattern); break;
  }
  return pattern;
}

// ---- bias

// y [rows, columns] = x + bias [columns]. A thread keeps the bias of its pack of columns and walks down the
// rows of its tile, four at a time. Each element of x and y moves once.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    add_bias_kernel(ColumnTiles tiles, const T* x, const T* bias, T* y) {
  const ColumnWalk walk(tiles, kSize);
  if (walk.count == 0) return;
  float offsets[kSize];
  load_floats(bias + walk.column, offsets);
  walk.down<4>([&]<int kPacks>(std::int64_t index) {
    Pack<T, kSize> packs[kPacks];
#pragma unroll
    for (int j = 0; j < kPacks; ++j) packs[j] = load_pack<kSize>(x + index + j * walk.stride);
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      float values[kSize];
      unpack(packs[j], values);
#pragma unroll
      for (int i = 0; i < kSize; ++i) values[i] += offsets[i];
      store_floats(y + index + j * walk.stride, values);
    }
  });
}

template <class T, int kSize>
void launch_add_bias(cudaStream_t stream, const Tensor& x, const Tensor& bias, Tensor& y) {
  const ColumnTiles tiles =
      cut_columns(x.shape().rows(), bias.numel(), kSize, kThreads, 4 * kMultiprocessors);
  launch(add_bias_kernel<T, kSize>, tiles.grid(), kThreads, 0, stream, tiles, x.data<T>(), bias.data<T>(),
         y.data<T>());
}

}  // namespace

void CudaBackend::fill(Tensor& y, double value) {
  auto* bytes = reinterpret_cast<unsigned char*>(y.raw());
  const auto count = static_cast<std::int64_t>(y.bytes());
  launch(fill_kernel, blocks_for(ceil_div(count, 16)), kThreads, 0, stream(), pattern_of(y.dtype(), value),
         bytes, count, aligned(bytes));
}

void CudaBackend::convert(const Tensor& x, Tensor& y) {
  if (x.numel() == 0) return;
  if (x.dtype() == y.dtype()) {
    check(cudaMemcpyAsync(y.raw(), x.raw(), y.bytes(), cudaMemcpyDeviceToDevice, stream()));
  } else if (is_computing(x.dtype()) && is_computing(y.dtype())) {
    map_multiple(stream(), {.alpha = 1, .scalar = nullptr}, x, {y, false});
  } else {
    auto* const kernel = is_integer(x.dtype()) ? convert_kernel<std::int64_t> : convert_kernel<double>;
    launch(kernel, blocks_for(y.numel()), kThreads, 0, stream(), x.dtype(), x.raw(), y.dtype(), y.raw(),
           y.numel());
  }
}

void CudaBackend::increment(Tensor& counter) {
  launch(increment_kernel, blocks_for(counter.numel()), kThreads, 0, stream(), counter.data<std::int64_t>(),
         counter.numel());
}

void CudaBackend::scale(const Tensor& x, double alpha, const Target& y) {
  if (y) map_multiple(stream(), {.alpha = static_cast<float>(alpha), .scalar = nullptr}, x, y);
}

void CudaBackend::scale_by(const Tensor& x, const Tensor& scalar, const Target& y) {
  if (y) map_multiple(stream(), {.alpha = 1, .scalar = scalar.data<float>()}, x, y);
}

void CudaBackend::unary(UnaryOp op, const Tensor& x, Tensor& y) {
  dispatch_dtype(x.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    visit(op, [&](auto formula) { map<T, T>(stream(), Value<decltype(formula)>{}, x, {}, {}, {y, false}); });
  });
}

void CudaBackend::unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) {
  if (!dx) return;
  dispatch_dtype(dy.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    visit(op, [&](auto formula) { map<T, T>(stream(), Derivative<decltype(formula)>{}, dy, saved, {}, dx); });
  });
}

void CudaBackend::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_dtype(a.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    visit(op, [&](auto formula) {
      map<T, T>(stream(), Combination<decltype(formula)>{}, a, b, {}, {y, false});
    });
  });
}

void CudaBackend::binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy,
                                  const Target& da, const Target& db) {
  dispatch_dtype(dy.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    visit(op, [&](auto formula) {
      if (da) map<T, T>(stream(), DerivativeByA<decltype(formula)>{}, dy, a, b, da);
      if (db) map<T, T>(stream(), DerivativeByB<decltype(formula)>{}, dy, a, b, db);
    });
  });
}

void CudaBackend::add_bias(const Tensor& x, const Tensor& bias, Tensor& y) {
  dispatch_dtype(x.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    with_packs<T>(bias.numel(), aligned(x.raw(), bias.raw(), y.raw()),
                  [&]<int kSize>() { launch_add_bias<T, kSize>(stream(), x, bias, y); });
  });
}

}  // namespace sagitta::cuda
