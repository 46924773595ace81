#include "apps/observe/value_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/error.h"
#include "tensor/half.h"

namespace sagitta::apps {
namespace {

template <class T>
ValueScan scan(const T* values, std::int64_t count) {
  ValueScan result{.count = count};
  double smallest = std::numeric_limits<double>::infinity(), largest = -smallest;
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = static_cast<double>(values[i]);
    if (std::isfinite(value)) {
      smallest = std::min(smallest, value);
      largest = std::max(largest, value);
      continue;
    }
    ++(std::isnan(value) ? result.nans : result.infinities);
  }
  if (smallest <= largest) {
    result.smallest = smallest;
    result.largest = largest;
  }
  return result;
}

// Whether the backend's sum takes tensors of this dtype (tensor/backend.h, cpu_backend.h, cuda_backend.h).
bool can_sum(DType dtype, const Device& device) {
  if (dtype == DType::f32) return true;
  return device.kind == Device::Kind::cpu ? dtype == DType::f64 : is_half(dtype);
}

}  // namespace

std::string ValueScan::text() const {
  if (count == 0) return "without elements";
  if (is_finite()) return fmt::format("{:.4g} to {:.4g}", smallest, largest);
  std::string bad;
  if (nans > 0) bad = fmt::format("{} NaN", nans);
  if (infinities > 0) bad += fmt::format("{}{} Inf", nans > 0 ? " and " : "", infinities);
  return fmt::format("{} of {}", bad, count);
}

ValueScan scan_values(const Tensor& tensor, Backend& backend) {
  std::vector<std::byte> copy;
  const std::byte* bytes = tensor.raw();
  if (backend.device().kind != Device::Kind::cpu) {
    copy.resize(tensor.bytes());
    backend.read(tensor, copy.data());
    bytes = copy.data();
  }
  switch (tensor.dtype()) {
    case DType::f32: return scan(reinterpret_cast<const float*>(bytes), tensor.numel());
    case DType::f64: return scan(reinterpret_cast<const double*>(bytes), tensor.numel());
    case DType::bf16: return scan(reinterpret_cast<const BFloat16*>(bytes), tensor.numel());
    case DType::f16: return scan(reinterpret_cast<const Float16*>(bytes), tensor.numel());
    default: fail("scan_values: dtype is {}, expected a floating-point type", name_of(tensor.dtype()));
  }
}

bool all_finite(const Tensor& tensor, Backend& backend) {
  if (tensor.numel() == 0) return true;
  if (can_sum(tensor.dtype(), backend.device())) {
    // A sum with a NaN or infinity in it is never finite. One of finite values may overflow: look closer.
    Tensor sum(backend, {1}, tensor.dtype());
    backend.sum(tensor, sum);
    if (scan_values(sum, backend).is_finite()) return true;
  }
  return scan_values(tensor, backend).is_finite();
}

}  // namespace sagitta::apps
