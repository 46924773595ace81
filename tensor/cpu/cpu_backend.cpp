#include "tensor/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>

#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

constexpr std::int64_t kCopyChunk = std::int64_t{1} << 18;  // bytes

void copy_bytes(const void* from, void* to, std::size_t bytes) {
  parallel_chunks(
      static_cast<std::int64_t>(bytes), kCopyChunk, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                    static_cast<std::size_t>(end - begin));
      });
}

}  // namespace

Backend& open_backend() {
  // Never destroyed: tensors with static lifetime may outlive main().
  static CpuBackend& backend = *new CpuBackend;
  return backend;
}

void CpuBackend::write(const void* host, Tensor& y) { copy_bytes(host, y.raw(), y.bytes()); }

void CpuBackend::read(const Tensor& x, void* host) { copy_bytes(x.raw(), host, x.bytes()); }

void CpuBackend::fill(Tensor& y, double value) {
  dispatch_any(y.dtype(), [&]<class T>(TypeTag<T>) {
    const T converted = static_cast<T>(value);
    write_each(y.data<T>(), y.numel(), false, [=](std::int64_t) { return converted; });
  });
}

void CpuBackend::convert(const Tensor& x, Tensor& y) {
  if (x.dtype() == y.dtype()) return copy_bytes(x.raw(), y.raw(), x.bytes());
  dispatch_any(x.dtype(), [&]<class From>(TypeTag<From>) {
    dispatch_any(y.dtype(), [&]<class To>(TypeTag<To>) {
      const From* from = x.data<From>();
      write_each(y.data<To>(), y.numel(), false, [=](std::int64_t i) { return static_cast<To>(from[i]); });
    });
  });
}

void CpuBackend::increment(Tensor& counter) {
  std::int64_t* const values = counter.data<std::int64_t>();
  write_each(values, counter.numel(), false, [=](std::int64_t i) { return values[i] + 1; });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
